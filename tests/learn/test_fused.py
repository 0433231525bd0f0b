"""The fused kernels of sparse coding, in processes of their own."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="PyTorch brings Triton for Linux alone")


@needs_triton
def test_fused_kernels_of_sparse_coding_give_what_pytorch_gives():
    interpreted = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    checks = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [*checks, str(Path(__file__).with_name("fused_checks.py"))],
        env={**os.environ, **interpreted}, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
