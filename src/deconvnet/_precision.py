"""How exactly is computed: the type of numbers, TensorFloat-32, and algorithms that give the same bits every time.

PyTorch lets convolutions on CUDA shorten float32 to TensorFloat-32 by a setting of the whole process. Most of them
could be told by each call instead, but not those that autograd runs, so the setting is held while we compute, and is
put back afterwards.
"""

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, get_args

import torch
from torch.backends import cudnn

from deconvnet._checks import flag, is_one_of, short
from deconvnet._errors import ArgumentError
from deconvnet._types import Precision


@dataclass(frozen=True)
class Arithmetic:
    """How a network is computed, up and down.

    Attributes:
        precision: the type of numbers, or "tf32"; None for the type of the weights.
        deterministic: only algorithms that give the same bits every time.

    Raises:
        ArgumentError: another value.
    """

    precision: Precision | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.precision is not None and not is_one_of(self.precision, get_args(Precision)):
            names = ", ".join(map(repr, get_args(Precision)))
            raise ArgumentError(f"precision is one of {names}, or None; got {short(self.precision)}.")
        flag("deterministic", self.deterministic)

    @property
    def dtype(self) -> torch.dtype | None:
        """The type that is computed in; None for that of the weights."""
        if self.precision is None:
            return None
        dtype: torch.dtype = getattr(torch, "float32" if self.precision == "tf32" else self.precision)
        return dtype

    @contextmanager
    def held(self) -> Iterator[None]:
        """Compute in this way, whatever the settings of the process are, which are afterwards what they were.

        While several threads compute, all are as exact as the most exact of them.
        """
        with ExitStack() as settings:
            settings.enter_context(_SHORTENING.held("tf32" if self.precision == "tf32" else "ieee"))
            if self.deterministic:
                settings.enter_context(_REPEATING.held(True))
            yield


AS_THE_WEIGHTS = Arithmetic()


def remedy(dtype: torch.dtype) -> str:
    """What to do where numbers become too large for their type, in words."""
    if dtype == torch.float64:
        return "scale the images or the weights down"
    wider = "float32" if dtype == torch.float16 else "float64"
    return f'compute in {wider} (--precision {wider}, precision="{wider}")'


class _Setting:
    """A setting of the process, held at a value as long as any thread wants it.

    Args:
        values: that it may be held at, first those that go before others.
        read: what it is, in as many parts as it has.
        hold: sets it to one of the values.
        remember: returns a function that sets it to what it is, but for those parts that are not as the function is
            told that they were held, because somebody has set them meanwhile.
    """

    def __init__(
        self,
        values: Sequence[Hashable],
        read: Callable[[], tuple[Any, ...]],
        hold: Callable[[Any], None],
        remember: Callable[[], Callable[[tuple[Any, ...]], None]],
    ) -> None:
        self._values, self._read, self._hold, self._remember = values, read, hold, remember
        self._lock = Lock()
        self._wanted: Counter[Hashable] = Counter()
        self._as_held: tuple[Any, ...] = ()
        if hasattr(os, "register_at_fork"):
            lock = self._lock
            os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)

    @contextmanager
    def held(self, value: Hashable) -> Iterator[None]:
        """While this lasts, the setting is `value`, or one that goes before it and that another thread wants."""
        self._want(value, 1)
        try:
            yield
        finally:
            self._want(value, -1)

    def _want(self, value: Hashable, more: int) -> None:
        with self._lock:
            before = self._first()
            self._wanted[value] += more
            now = self._first()
            if now == before:
                return
            if before is None:
                self._put_back = self._remember()
            if now is None:
                self._put_back(self._as_held)
            else:
                self._hold(now)
                self._as_held = self._read()

    def _first(self) -> Hashable | None:
        return next((value for value in self._values if self._wanted[value]), None)


_OPERATIONS = tuple((backend, operation) for backend in ("cuda", "mkldnn") for operation in ("conv", "rnn", "matmul"))


def _shortening() -> tuple[str, ...]:
    """How each of the operations shortens float32: "ieee" or "none" where it does not."""
    return tuple(torch._C._get_fp32_precision_getter(*operation) for operation in _OPERATIONS)


def _by_older_name(read: Callable[[], Any]) -> Any:
    """What an older name of these settings says; None where they are such as it cannot tell, which it says by failing.

    Both names of a setting are kept in step, because other threads may read either.
    """
    try:
        return read()
    except (RuntimeError, UserWarning):  # where warnings are errors, some versions' advice to use the newer names
        return None


def _products() -> str:
    torch._C._get_cublas_allow_tf32()  # fails where the next does not
    return torch.get_float32_matmul_precision()


def _hold_shortening(value: str) -> None:
    allowed = value == "tf32"
    if _by_older_name(torch._C._get_cudnn_allow_tf32) is (not allowed):
        torch._C._set_cudnn_allow_tf32(allowed)
    if (products := _by_older_name(_products)) is not None and (products != "highest") is not allowed:
        torch._C._set_cublas_allow_tf32(allowed)
    for operation, now in zip(_OPERATIONS, _shortening(), strict=True):
        if (now != "tf32" and operation[0] == "cuda") if allowed else now not in ("none", "ieee"):
            torch._C._set_fp32_precision_setter(*operation, value)


def _remember_shortening() -> Callable[[tuple[Any, ...]], None]:
    before, convolutions = _shortening(), _by_older_name(torch._C._get_cudnn_allow_tf32)
    products = _by_older_name(_products)

    def put_back(held: tuple[Any, ...]) -> None:
        untouched = [now == as_held for now, as_held in zip(_shortening(), held, strict=True)]
        if all(untouched):
            if _by_older_name(torch._C._get_cudnn_allow_tf32) is not convolutions is not None:
                torch._C._set_cudnn_allow_tf32(convolutions)
            if _by_older_name(_products) != products is not None:
                torch.set_float32_matmul_precision(products)
        for operation, ours, now, then in zip(_OPERATIONS, untouched, _shortening(), before, strict=True):
            if ours and now != then:
                torch._C._set_fp32_precision_setter(*operation, then)

    return put_back


def _repeating() -> tuple[Any, ...]:
    return cudnn.deterministic, cudnn.benchmark


def _hold_repeating(value: bool) -> None:
    cudnn.deterministic, cudnn.benchmark = value, not value  # a benchmark does not always find the same one fastest


def _remember_repeating() -> Callable[[tuple[Any, ...]], None]:
    deterministic, benchmark = _repeating()

    def put_back(held: tuple[Any, ...]) -> None:
        if cudnn.deterministic == held[0]:
            cudnn.deterministic = deterministic
        if cudnn.benchmark == held[1]:
            cudnn.benchmark = benchmark

    return put_back


_SHORTENING = _Setting(("ieee", "tf32"), _shortening, _hold_shortening, _remember_shortening)
_REPEATING = _Setting((True,), _repeating, _hold_repeating, _remember_repeating)
