"""Networks are attached and used in many threads and processes, and nobody else notices."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from support.captured import images, small
from support.workers import Explained
from torch import Tensor
from torch.utils.data import DataLoader

from deconvnet import DeconvNet, RuleSet


class Meanwhile(threading.Thread):
    """Calls something over and over until it is left; what it raised is raised there."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__()
        self.call, self.calls, self.done, self.fault = call, 0, threading.Event(), None

    def run(self) -> None:
        try:
            while not self.done.is_set():
                self.call()
                self.calls += 1
        except BaseException as fault:
            self.fault = fault

    def __enter__(self) -> "Meanwhile":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()
        assert self.fault is None, self.fault
        assert self.calls


def in_threads(calls: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_networks_are_attached_in_threads_each_its_own():
    models = [small(seed) for seed in range(4)]
    alone = [DeconvNet(model, images()).explain(images(), 1).full() for model in models]
    together = in_threads([lambda m=model: DeconvNet(m, images()).explain(images(), 1).full() for model in models])
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_one_net_is_used_in_eight_threads_for_sizes_that_it_has_not_seen():
    model = small()
    sizes = [10, 11, 12, 10, 11, 12, 10, 11]
    truth = {
        size: DeconvNet(model, images(2, size)).project(images(2, size), "6", channel="all").full() for size in sizes
    }
    net = DeconvNet(model, images())

    def look(size: int) -> bool:
        x = images(2, size)
        guided = net.with_rules("guided").explain(x, 1).full()
        plain = net.project(x, "6", channel="all").full()
        return torch.equal(plain, truth[size]) and torch.equal(guided, net.with_rules("guided").explain(x, 1).full())

    assert all(in_threads([lambda s=size: look(s) for size in sizes]))


def test_a_model_runs_elsewhere_while_it_is_captured():
    model, x = small().train(), images()
    truth, seen = small()(x), []
    model.eval()
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(type(output)))

    def run() -> None:
        assert torch.equal(model(x), truth)
        assert not any(module.training for module in model.modules())

    with Meanwhile(run) as meanwhile:
        for size in range(10, 14):
            DeconvNet(model, images(1, size))
        calls = meanwhile.calls
    assert calls > 6
    assert set(seen) == {Tensor}


def test_a_model_is_trained_elsewhere_while_it_is_captured():
    model = small().train()

    def run() -> None:
        assert all(module.training for module in model.modules())
        assert model(images()).requires_grad

    with Meanwhile(run):
        for size in range(10, 14):
            DeconvNet(model, images(1, size))


def test_what_other_threads_print_arrives_while_a_network_is_captured(monkeypatch: pytest.MonkeyPatch):
    lines: list[str] = []

    class Log:
        def write(self, text: str) -> None:
            lines.append(text)

        def flush(self) -> None:
            pass

    out, err = Log(), Log()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with Meanwhile(lambda: (print("said"), print("said", file=sys.stderr))) as meanwhile:
        for size in range(10, 13):
            DeconvNet(small(), images(1, size))
            assert sys.stdout is out and sys.stderr is err
    assert lines.count("said") == 2 * meanwhile.calls


# processes ------------------------------------------------------------------------------------------


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_pictures_made_by_workers_are_those_made_here(start: str):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"{start} is not there")
    data = Explained(DeconvNet(small(), images()))
    truth = [data[i] for i in range(4)]
    loader = DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context=start)
    for there, here in zip(loader, truth, strict=True):
        assert torch.equal(there, here)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="fork is not there")
def test_a_process_forked_while_a_network_is_captured_can_capture():
    torch.ones(1, requires_grad=True).sum().backward()  # after which PyTorch itself computes no derivative in a fork
    context = multiprocessing.get_context("fork")
    result = context.Queue()
    model, other = (
        small(),
        small(),
    )  # before: a fork in the middle of `torch.manual_seed` leaves PyTorch's own lock taken

    def work() -> None:
        torch.set_num_threads(1)
        result.put(DeconvNet(model, images()).explain(images(), 1).full().tolist())

    with Meanwhile(lambda: DeconvNet(other, images(1, 12))):
        process = context.Process(target=work)
        process.start()
        given = result.get(timeout=60)
        process.join()
    truth = DeconvNet(small(), images()).explain(images(), 1).full()
    assert torch.equal(torch.tensor(given, dtype=torch.float64), truth)


FIRST_CAPTURE = """
import os, threading, time
import torch
from torch import nn
from deconvnet import DeconvNet

model, x = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).eval(), torch.rand(1, 3, 8, 8)
thread = threading.Thread(target=DeconvNet, args=(model, x))
thread.start()
time.sleep(0.1)
child = os.fork()
if not child:
    torch.set_num_threads(1)
    os._exit(0 if len(DeconvNet(model, x).project(x, "1", channel=0)) else 1)
thread.join()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is not there")
def test_a_fork_during_the_first_capture_of_a_process_is_quiet():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FIRST_CAPTURE], capture_output=True, text=True,
                          timeout=120, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("rules", ["deconvnet", RuleSet(unpool="centre")])
def test_a_pickled_net_comes_back_with_its_rules_and_is_captured_anew(rules: Any):
    net = DeconvNet(small(), images(), rules=rules)
    sent = pickle.dumps(net)
    again = pickle.loads(sent)
    assert again.rules == net.rules and len(sent) < 50_000
    assert torch.equal(again.explain(images(), 1).full(), net.explain(images(), 1).full())
