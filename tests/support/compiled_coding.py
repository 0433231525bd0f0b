"""Compiles the fused kernels of sparse coding for GPUs that need not be here, in several of their forms."""

from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from deconvnet.learn.fused import _mix, _shrink

POINTERS = ("v", "other", "limit", "sums", "source", "spectrum", "out")
NVIDIA, AMD = GPUTarget("cuda", 90, 32), GPUTarget("hip", "gfx942", 64)


def compiled(kernel: Any, target: GPUTarget, number: str, **parts: object) -> None:
    constants = {"BLOCK": 1024, "SUM": tl.float64 if number == "fp64" else tl.float32, **parts}
    signature = {
        name: "constexpr" if name in constants
        else f"*{number}" if name in POINTERS
        else "i32"
        for name in kernel.arg_names
    }  # fmt: skip
    triton.compile(ASTSource(kernel, signature, constants), target=target)


for target, number in ((NVIDIA, "fp32"), (NVIDIA, "fp64"), (AMD, "fp32")):
    compiled(_mix, target, number)
compiled(_shrink, NVIDIA, "fp32", RELAXATION=1.8, LOOKS=True, NONNEG=False, VARIES=False, WIDE=False)
compiled(_shrink, NVIDIA, "fp64", RELAXATION=None, LOOKS=False, NONNEG=True, VARIES=True, WIDE=True)
compiled(_shrink, AMD, "fp32", RELAXATION=1.8, LOOKS=False, NONNEG=False, VARIES=True, WIDE=False)
