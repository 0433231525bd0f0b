"""Budgets for the memory of a call or the size of a file."""

import re

import psutil
import torch
from rich.filesize import decimal

from deconvnet._checks import as_index, short
from deconvnet._errors import ArgumentError


def in_bytes(size: str | int, what: str = "memory") -> int:
    """A budget in bytes.

    Example:
        >>> in_bytes("2GB")
        2000000000
    """
    units = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    pattern = r"\s*(\d{1,18}(?:\.\d+)?)\s*([KMGT]?)B?\s*"
    match = re.fullmatch(pattern, size, re.IGNORECASE) if isinstance(size, str) else None
    amount = int(float(match[1]) * units[match[2].upper()]) if match else as_index(size) or 0
    if amount <= 0:
        raise ArgumentError(f"{what} is a number of bytes or a size such as '2GB'; got {short(size)}.")
    return amount


def free_bytes(device: torch.device) -> int:
    """The default budget: a quarter of the free memory of the device, and of what PyTorch keeps there without need."""
    if device.type == "cuda":
        stats = torch.cuda.memory_stats_as_nested_dict(device)
        held, used = (stats[name]["all"]["current"] if stats else 0 for name in ("reserved_bytes", "allocated_bytes"))
        return int(torch.cuda.mem_get_info(device)[0] + held - used) // 4
    return int(psutil.virtual_memory().available) // 4


def check_fits(name: str, count: int, what: str, size: int, device: torch.device) -> None:
    """Raise unless `count` items fit in free memory.

    Args:
        name: of the argument.
        count: its value.
        what: it counts.
        size: bytes that each takes at least.
        device: where.

    Raises:
        ArgumentError: they do not.
    """
    free = 4 * free_bytes(device)
    if count * size <= free:
        return
    needs = f"each {what} takes {decimal(size)} and {decimal(free)} of memory are free"
    if size > free:
        raise ArgumentError(f"{name} is {count}, but not even one fits: {needs}.")
    raise ArgumentError(f"{name} is at most {free // size} here, as {needs}; got {count}.")
