"""Compiles the fused kernel for GPUs that need not be here, in several of its forms."""

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from deconvnet.windows.fused import _join

POINTERS = {"to": "*i32", "rows": "*i64", "switch": "*u8", "mask": "*u8"}
POOL = {"STEP_Y": 2, "STEP_X": 2, "PAD_Y": 1, "PAD_X": 1, "SPAN_Y": 3, "SPAN_X": 3}
ALL = {"ADDS": True, "RECTIFIES": True, "MASKS": True, "UNPOOLS": True, "LARGEST": True}
NVIDIA, AMD = GPUTarget("cuda", 90, 32), GPUTarget("hip", "gfx942", 64)


def compiled(target: GPUTarget, number: str, *, axes: int = 2, wide: bool = False, **parts: bool) -> None:
    constants = {"AXES": axes, "BLOCK": 1024, "WIDE": wide, "SUM": tl.float64 if number == "fp64" else tl.float32,
                 **dict.fromkeys(ALL, False), **POOL, **parts}  # fmt: skip
    pointers = POINTERS | dict.fromkeys(("out", "part", "base"), f"*{number}")
    signature = {
        name: "constexpr" if name in constants else pointers.get(name, "*i32" if name.endswith("_low") else "i32")
        for name in _join.arg_names
    }
    triton.compile(ASTSource(_join, signature, constants), target=target)


compiled(NVIDIA, "fp32", **ALL)
compiled(NVIDIA, "fp64", axes=1, wide=True, RECTIFIES=True)
compiled(AMD, "fp16", UNPOOLS=True, RECTIFIES=True)
