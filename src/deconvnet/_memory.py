"""Budgets for the memory of a call or the size of a file."""

import re

import psutil
import torch
from rich.filesize import decimal

from deconvnet._errors import ArgumentError


def in_bytes(size: str | int, what: str = "memory") -> int:
    """A budget in bytes.

    Example:
        >>> in_bytes("2GB")
        2000000000
    """
    units = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", str(size), re.IGNORECASE)
    if isinstance(size, bool) or not match or float(match.group(1)) <= 0:
        raise ArgumentError(f"{what} is a number of bytes or a size such as '2GB'; got {size!r}.")
    return int(float(match.group(1)) * units[match.group(2).upper()])


def free_bytes(device: torch.device) -> int:
    """The default budget: a quarter of the free memory of the device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 4
    return int(psutil.virtual_memory().available) // 4


def check_fits(name: str, count: int, what: str, size: int, device: torch.device) -> None:
    """Raise unless so many fit the memory that is free.

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
