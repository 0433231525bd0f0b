"""Recordings of passes, on tapes that do on a CPU what a CUDA graph does: when they are made, used and dropped."""

import gc
import pickle
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from support.accelerators import CudaFunctions
from support.tape import Taping
from torch import Tensor

from deconvnet._errors import ArgumentError, DeconvNetWarning
from deconvnet.core.kernels import unpool_gathered
from deconvnet.core.pooling import covering, regular_windows
from deconvnet.core.replays import CudaGraphs, Replays, Tensors, replays_if


class Pass:
    """A pass that counts how often its Python runs: twice x, times a weight."""

    def __init__(self, replays: Replays) -> None:
        self.replays, self.runs, self.weight = replays, 0, torch.tensor([1.0, 2.0, 3.0])

    def function(self, tensors: Tensors) -> Tensors:
        self.runs += 1
        return {"y": 2 * tensors["x"] * tensors["weight"]}

    def __call__(self, x: Tensor, name: str = "pass", owner: object = None) -> Tensor:
        y = self.replays.run(name, owner, self.function, {"x": x}, {"weight": self.weight})["y"]
        assert torch.equal(y, 2 * x * self.weight)
        return y


def counted(most: int = 16, memory: int = 10**9) -> tuple[Pass, Taping]:
    recorder = Taping()
    return Pass(Replays(recorder, memory, most=most)), recorder


def test_the_first_pass_is_computed_the_second_recorded_and_all_later_ones_replayed():
    run, recorder = counted()
    run(torch.randn(3))
    assert (len(recorder.tapes), run.runs) == (0, 1)
    run(torch.randn(3))
    assert (len(recorder.tapes), recorder.replays) == (1, 1)
    runs = run.runs
    for _ in range(3):
        run(torch.randn(3))
    assert (len(recorder.tapes), recorder.replays, run.runs) == (1, 4, runs)


def test_what_a_replay_gives_is_the_callers_own():
    run, _ = counted()
    kept = [run(x) for x in torch.randn(4, 3)]
    before = [y.clone() for y in kept]
    run(torch.randn(3)).zero_()
    run(torch.randn(3))
    assert all(map(torch.equal, kept, before))


def test_a_weight_that_changes_in_place_is_seen():
    run, recorder = counted()
    for _ in range(4):
        run(torch.randn(3))
        run.weight.add_(1)
    assert (len(recorder.tapes), recorder.replays) == (1, 3)


def test_a_weight_that_lies_elsewhere_makes_a_new_recording_necessary():
    run, recorder = counted()
    for replays in (0, 1, 2, 2, 3, 4):
        if replays == 2 == recorder.replays:
            run.weight = run.weight * 2
            assert len(run.replays) == 1
        run(torch.randn(3))
        assert recorder.replays == replays
    assert len(recorder.tapes) == 2 and len(run.replays) == 1


def test_a_kind_whose_recordings_are_dropped_again_and_again_is_computed():
    run, recorder = counted()
    for _ in range(8):
        run.weight = run.weight.clone()
        run(torch.randn(3))
        run(torch.randn(3))
    assert len(recorder.tapes) == 3 and len(run.replays) == 0


@pytest.mark.parametrize("other", [torch.randn(2, 3), torch.randn(3).double(), torch.randn(2, 6)[:, ::2]])
def test_other_sizes_types_and_strides_are_other_kinds(other: Tensor):
    run, recorder = counted()
    for x in (torch.randn(3), other, torch.randn(2, 3)[1:], torch.randn(3), other):
        run(x)
    assert len(recorder.tapes) == 2


def test_names_and_owners_are_told_apart():
    run, recorder = counted()
    for name, owner in (("a", 1), ("b", 1), ("a", 2)):
        run(torch.randn(3), name, owner)
    assert not recorder.tapes
    run(torch.randn(3), "a", 2)
    assert len(recorder.tapes) == 1


def test_the_recording_that_was_used_longest_ago_goes_first():
    run, recorder = counted(most=2)
    for name in "aabbacca":
        run(torch.randn(3), name)
    assert (len(run.replays), len(recorder.tapes), recorder.replays) == (2, 3, 5)
    for name in "ba":
        run(torch.randn(3), name)
    assert len(recorder.tapes) == 4, "b alone was dropped"


def test_recordings_hold_no_more_than_the_memory_they_may_hold():
    run, _ = counted()
    for _ in range(2):
        run(torch.randn(100, 3))
    one = run.replays.bytes
    assert one == 3 * 1200
    for memory, held in ((3 * one, 3), (one, 1), (one - 1, 0)):
        run, recorder = counted(memory=memory)
        for name in "aabbccddee":
            run(torch.randn(100, 3), name)
            assert run.replays.bytes <= memory
        assert len(run.replays) == held
        run(torch.randn(100, 3), "e")
        assert len(recorder.tapes) == 5, "what does not fit alone is not recorded again"


def test_only_so_many_kinds_are_known():
    run, recorder = counted()
    for name in [*map(str, range(70)), "0"]:
        run(torch.randn(3), name)
    assert not recorder.tapes and len(run.replays._kinds) == 64


def test_the_recordings_of_others_are_dropped():
    run, _ = counted()
    for owner in ("first", "first", "second", "second"):
        run(torch.randn(3), owner=owner)
    run.replays.keep(["second", "third"])
    assert len(run.replays) == 1


def test_an_error_inside_a_recording_leaves_nothing_behind_and_the_pass_is_computed():
    run, recorder = counted()
    recorder.fault = RuntimeError("operation not permitted when stream is capturing\nmore of it")
    run(torch.randn(3))
    with pytest.warns(DeconvNetWarning, match="recorded as a CUDA graph: operation not permitted when stream"):
        run(torch.randn(3))
    run(torch.randn(3))  # is not tried again
    assert len(run.replays) == 0 and run.replays.bytes == 0
    recorder.fault = None
    for _ in range(2):
        run(torch.randn(3), "another")
    assert len(run.replays) == 1


def test_an_error_of_the_pass_itself_is_raised():
    replays = Replays(Taping(), 10**9)

    def fails(tensors: Tensors) -> Tensors:
        raise ArgumentError("its own")

    for _ in range(3):
        with pytest.raises(ArgumentError, match="its own"), pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.warn", lambda *args, **kwargs: None)
            replays.run("fails", None, fails, {"x": torch.ones(1)}, {})


def test_nothing_is_recorded_or_replayed_while_it_is_no_time_for_that():
    run, recorder = counted()
    for _ in range(2):
        run(torch.randn(3))
    recorder.closed = True
    run(torch.randn(3))
    assert recorder.replays == 1
    recorder.closed = False
    run(torch.randn(3))
    assert (len(recorder.tapes), recorder.replays) == (1, 2)


def test_each_thread_has_recordings_of_its_own():
    run, recorder = counted()
    for _ in range(2):
        run(torch.randn(3))
    with ThreadPoolExecutor(1) as other:
        other.submit(run, torch.randn(3)).result()
        assert (len(recorder.tapes), recorder.replays) == (1, 1)
        other.submit(run, torch.randn(3)).result()
    assert len(recorder.tapes) == len(run.replays) == 2


def test_while_a_thread_records_another_computes():
    class Both(Taping):
        def record(self, *given: Any) -> Any:
            with ThreadPoolExecutor(1) as other:
                for _ in range(2):
                    other.submit(run, torch.randn(3)).result()
            return super().record(*given)

    recorder = Both()
    run = Pass(Replays(recorder, 10**9))
    for _ in range(2):
        run(torch.randn(3))
    assert len(recorder.tapes) == 1


ONCE = {
    "a number": lambda x: x * float(x.sum()),
    "a comparison": lambda x: x if torch.equal(x, x + 1) else 2 * x,
    "a mask": lambda x: x[x > 0],
    "a mask written to": lambda x: x.index_put((x > 0,), torch.zeros(())),
    "how many": lambda x: x.nonzero(),
    "random numbers": lambda x: x + torch.rand_like(x),
    "another device": lambda x: x + torch.empty(3, device="meta").shape[0] * torch.empty_like(x, device="meta").numel(),
}


@pytest.mark.parametrize("what", ONCE)
def test_what_cannot_be_done_again_is_not_recorded(what: str):
    recorder = Taping()
    replays = Replays(recorder, 10**9)
    x = torch.tensor([1.0, -2.0, 3.0])
    replays.run(what, None, lambda tensors: {"y": ONCE[what](tensors["x"])}, {"x": x}, {})
    with pytest.warns(DeconvNetWarning, match="reads a value|as many values|random|more than cpu"):
        replays.run(what, None, lambda tensors: {"y": ONCE[what](tensors["x"])}, {"x": x}, {})
    assert len(replays) == 0


def test_indices_that_are_no_mask_are_recorded():
    replays, indices = Replays(Taping(), 10**9), torch.tensor([2, 0])
    for i in range(3):
        x = torch.randn(3)
        y = replays.run("index", None, lambda tensors: {"y": tensors["x"][indices]}, {"x": x}, {})["y"]
        assert torch.equal(y, x[indices]) and len(replays) == (i > 0)


def test_a_table_that_a_recording_reads_lives_as_long_as_it():
    tables = [torch.tensor([1.0, 2.0])]
    replays, table = Replays(Taping(), 10**9), weakref.ref(tables[0])

    def function(tensors: Tensors) -> Tensors:
        return {"y": tensors["x"] * tables[0]}

    for _ in range(2):
        replays.run("table", "owner", function, {"x": torch.ones(2)}, {})
    held = {id(tensor) for kind in replays._kinds.values() for tensor in kind.recording.read}
    assert id(table()) in held


def test_a_table_that_is_worked_out_while_a_pass_is_warmed_up_lives_as_long_as_its_recording():
    tables: list[Tensor] = []
    replays, calls = Replays(Taping(), 10**9), []

    def function(tensors: Tensors) -> Tensors:
        calls.append(len(tables))
        if len(calls) == 2:  # what a cache held when the pass was first asked for is no longer there
            tables.append(torch.arange(2.0))
        return {"y": tensors["x"] * tables[0] if tables else tensors["x"].clone()}

    for _ in range(2):
        replays.run("table", "owner", function, {"x": torch.ones(2)}, {})
    held = {id(tensor) for kind in replays._kinds.values() for tensor in kind.recording.read}
    assert calls == [0, 0, 1] and id(tables[0]) in held


def test_the_unpooling_of_accelerators_is_recorded():
    windows = (regular_windows(5, 2, 3, 2, 0, 1),) * 2
    at, recorder = covering(windows, torch.device("cpu")), Taping()
    replays = Replays(recorder, 10**9)
    for overlap in ("sum", "max"):

        def unpooled(tensors: Tensors, overlap: str = overlap) -> Tensors:
            return {"below": unpool_gathered(tensors["signal"], tensors["switches"], at, (5, 5), overlap)}

        for _ in range(3):
            given = {"signal": torch.randn(2, 3, 2, 2), "switches": torch.randint(9, (2, 3, 2, 2), dtype=torch.uint8)}
            result = replays.run(overlap, None, unpooled, given, {})
            assert torch.equal(result["below"], unpooled(given)["below"])
    assert recorder.replays == 4


def test_tensors_of_other_classes_are_not_recorded():
    class Own(Tensor):
        pass

    run, recorder = counted()
    for _ in range(3):
        run(torch.randn(3).as_subclass(Own))
    assert not recorder.tapes


def test_recordings_stay_behind_where_they_are_sent_elsewhere():
    replays = pickle.loads(pickle.dumps(Replays(CudaGraphs(), 5, most=3)))
    assert (len(replays), replays._memory, replays._most) == (0, 5, 3)


def test_nothing_but_a_recording_keeps_its_memory():
    run, _ = counted()
    for _ in range(2):
        run(torch.randn(3))
    (kind,) = run.replays._kinds.values()
    alive = weakref.ref(kind.recording)
    gc.disable()
    try:
        del kind
        run.replays.keep([])
        assert alive() is None
    finally:
        gc.enable()


def test_cuda_graphs_belong_to_cuda_and_to_algorithms_that_need_not_repeat():
    assert CudaGraphs().situation(torch.device("cpu")) is None
    assert replays_if(False, None, deterministic=True) is None
    with pytest.raises(ArgumentError, match="cuda_graphs does not go with deterministic"):
        replays_if(True, None, deterministic=True)
    with pytest.raises(ArgumentError, match="cuda_graphs is True or False; got 'yes'"):
        replays_if("yes", None, deterministic=False)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> CudaFunctions:
    """Stand-ins for what records CUDA graphs."""
    functions = CudaFunctions()
    for name in (
        "device",
        "Stream",
        "stream",
        "current_stream",
        "CUDAGraph",
        "graph",
        "empty_cache",
        "memory_reserved",
    ):
        monkeypatch.setattr(torch.cuda, name, getattr(functions, name))
    return functions


def record(run: Callable[[], Tensors] = dict) -> Any:
    return CudaGraphs().record(run, torch.device("cuda"))


def test_a_pass_is_warmed_up_on_the_stream_of_its_capture_which_nothing_waits_for_inside(cuda: CudaFunctions):
    record(lambda: cuda.calls.append("run") or {})
    assert cuda.calls == [
        "1 waits for 0", "on 1", "run", "wait for 1", "empty cache", "capture on 1 thread_local", "run", "captured",
        "back on 0", "0 waits for 1",
    ]  # fmt: skip


def test_an_error_inside_a_capture_ends_it_and_gives_the_stream_back(cuda: CudaFunctions):
    def run() -> Tensors:
        if "capture on 1 thread_local" in cuda.calls:
            raise RuntimeError("not permitted")
        return {}

    with pytest.raises(RuntimeError, match="not permitted"):
        record(run)
    assert cuda.calls[-2:] == ["captured", "back on 0"]


def test_no_two_graphs_that_live_were_captured_on_one_stream_nor_on_that_of_other_captures(cuda: CudaFunctions):
    cuda.graph.default_capture_stream = cuda.Stream()
    first, latest = record(), deque[Any](maxlen=20)
    for _ in range(70):
        latest.append(record())
        streams = [replay.__self__.stream for _, replay, _ in (first, *latest)]
        assert len(set(streams)) == len(streams)
        assert cuda.graph.default_capture_stream.cuda_stream not in streams


def test_where_every_stream_has_a_graph_no_more_are_recorded_until_one_goes(cuda: CudaFunctions):
    alive = [record() for _ in range(cuda.COUNT)]
    with pytest.raises(Exception, match=f"there are {cuda.COUNT} of them, and each needs a stream of its own"):
        record()
    freed = alive.pop(3)[1].__self__.stream
    assert record()[1].__self__.stream == freed
