"""Workers do what they are sent, here or in processes of their own, and say what went wrong."""

import os
import signal
from functools import partial
from typing import Any

import psutil
import pytest
import torch

from deconvnet._errors import DeconvNetError, PhotoError
from deconvnet._workers import crew


def add(number: int, task: Any) -> Any:
    """What these workers do."""
    if task == "refuse":
        raise PhotoError("not this photo")
    if task == "fail":
        raise MemoryError("no room")
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "who":
        return os.getpid(), torch.get_num_threads()
    return number + task


DUTIES = [partial(add, 10), partial(add, 20)]


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "resource_tracker" not in " ".join(child.cmdline())]


@pytest.mark.parametrize("here", [True, False])
def test_each_does_its_own_duty_with_one_thread_and_none_is_left(here: bool) -> None:
    threads = torch.get_num_threads()
    with crew(DUTIES, "adds", here=here) as workers:
        for task in (1, 2):
            for worker in workers:
                worker.send(task)
            assert [worker.receive() for worker in workers] == [10 + task, 20 + task]
        for worker in workers:
            worker.send("who")
        processes, of_each = zip(*(worker.receive() for worker in workers), strict=True)
        assert set(of_each) == {1} and len({*processes, os.getpid()}) == (1 if here else 3)
    assert children() == [] and torch.get_num_threads() == threads


@pytest.mark.parametrize("here", [True, False])
def test_an_error_of_ours_is_raised_as_it_is_and_the_worker_goes_on(here: bool) -> None:
    with crew(DUTIES, "adds", here=here) as (worker, _):
        worker.send("refuse")
        with pytest.raises(PhotoError, match="not this photo"):
            worker.receive()
        worker.send(1)
        assert worker.receive() == 11


def test_any_other_error_comes_with_its_traceback() -> None:
    with crew(DUTIES, "adds") as (worker, _):
        worker.send("fail")
        with pytest.raises(DeconvNetError, match=r"(?s)a process that adds failed:.*in add.*MemoryError: no room"):
            worker.receive()


def test_a_killed_worker_is_told_while_it_works_and_when_it_is_sent_something() -> None:
    words = r"a process that adds ended with exit code -9 .*Use fewer workers, or workers=0 to see why"
    with crew(DUTIES, "adds") as (worker, other):
        worker.send("die")
        with pytest.raises(DeconvNetError, match=words):
            worker.receive()
        with pytest.raises(DeconvNetError, match=words):
            worker.send(1)
        other.send(1)
        assert other.receive() == 21
    assert children() == []
