"""The fused kernels, in a process of their own for all of them: Triton is told to interpret before it is imported."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="PyTorch brings Triton for Linux alone")


@needs_triton
def test_fused_kernels_give_what_plain_pytorch_gives():
    interpreted = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    files = [str(HERE / package / "fused_checks.py") for package in ("windows", "learn")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *files],
        env={**os.environ, **interpreted}, capture_output=True, text=True, check=False, cwd=HERE.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
