"""One thread that works for all visitors, in turn; what a visitor no longer waits for is not begun. No torch here."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_MOST_VISITORS = 10_000


class SupersededError(Exception):
    """The same visitor asked for something newer."""


class BusyError(Exception):
    """Too many wait already."""


class Turns:
    """A thread that does what visitors ask for, one piece of work at a time, in the order in which they ask.

    Each click of a visitor is a turn, with a number that grows. What waits is dropped once its visitor has had a newer
    turn, and what is in progress may look whether it is still waited for.

    Args:
        most_waiting: pieces of work, of all visitors together.
        most_of_visitor: the same of a single one.
    """

    def __init__(self, most_waiting: int = 400, most_of_visitor: int = 24) -> None:
        self._most_waiting, self._most_of_visitor = most_waiting, most_of_visitor
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bench")
        self._lock = asyncio.Lock()
        self._latest: OrderedDict[str, int] = OrderedDict()
        self._waiting: dict[str, int] = {}

    async def run(self, visitor: str, turn: int, work: Callable[[Callable[[], None]], T]) -> T:
        """What the work gives, called in the thread with a function that raises if nobody waits for it any more.

        Args:
            visitor: who asks; "" for one who is not known, whose turns are not counted.
            turn: of this visitor.
            work: what to do.

        Raises:
            SupersededError: the visitor has had a newer turn.
            BusyError: too many wait.
        """
        self._note(visitor, turn)
        if sum(self._waiting.values()) >= self._most_waiting or (
            visitor and self._waiting.get(visitor, 0) >= self._most_of_visitor
        ):
            raise BusyError("too many requests wait already: try again in a moment.")
        self._waiting[visitor] = self._waiting.get(visitor, 0) + 1

        def check() -> None:
            if self._latest.get(visitor, turn) > turn:
                raise SupersededError("a newer request took its turn.")

        try:
            async with self._lock:
                check()
                return await asyncio.get_running_loop().run_in_executor(self._thread, work, check)
        finally:
            self._waiting[visitor] -= 1
            if not self._waiting[visitor]:
                del self._waiting[visitor]

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _note(self, visitor: str, turn: int) -> None:
        if visitor:
            self._latest[visitor] = max(turn, self._latest.get(visitor, turn))
            self._latest.move_to_end(visitor)
            if len(self._latest) > _MOST_VISITORS:
                self._latest.popitem(last=False)
