"""Clocks that wait for the device, and networks whose numbers neither vanish nor explode."""

import re
from types import SimpleNamespace

import measure
import pytest
import torch
from torch import nn


class Accelerator:
    """A device that returns from a call at once and does the work later."""

    def __init__(self) -> None:
        self.clock = self.busy_until = 0.0

    def give(self, seconds: float) -> None:
        self.busy_until = max(self.clock, self.busy_until) + seconds

    def synchronize(self) -> None:
        self.clock = max(self.clock, self.busy_until)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Accelerator:
    device = Accelerator()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "synchronize", device.synchronize)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: device.clock)
    return device


def test_the_clock_stops_when_the_device_has_done_its_work(device: Accelerator):
    assert measure.seconds(lambda: device.give(3)) == 3


def test_the_clock_begins_when_the_device_has_done_what_it_was_given_before(device: Accelerator):
    device.give(5)
    assert measure.seconds(lambda: device.give(3)) == 3


def test_a_median_waits_after_every_run(device: Accelerator):
    lengths = iter([100, 1, 7, 2])
    assert measure.median(lambda: device.give(next(lengths)), 3) == 2


def test_runs_end_when_they_have_taken_long_enough(device: Accelerator):
    runs = []
    measure.median(lambda: (runs.append(0), device.give(2)), 9, most=5)
    assert len(runs) == 1 + 3


def test_a_run_that_is_long_by_itself_is_not_repeated(device: Accelerator):
    runs = []
    assert measure.median(lambda: (runs.append(0), device.give(8)), 9, most=5, warm=3) == 8
    assert len(runs) == 1


def test_statistics_of_batch_norm_fit_the_random_weights():
    model = nn.Sequential(nn.Conv2d(3, 4, 7, 16), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(9)
    measure.fit_statistics(model)
    assert not any(module.training for module in model.modules())
    y = model(torch.cat(list(measure.photos(8)))).transpose(0, 1).flatten(1)
    scale = model[3].weight.abs()
    assert torch.allclose(y.std(1), scale, rtol=0.05) and y.mean(1).abs().max() < 0.1 * scale.max()


def test_an_accelerator_is_told_with_its_driver_or_without(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"a card at {device}")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (20 * 10**9, 80 * 10**9))
    monkeypatch.setattr(measure.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="570.1\n570.1\n"))
    assert re.fullmatch(
        r"a card at cuda:0, 20 of 80 GB free; CUDA \S+, driver 570.1, cuDNN \S+", measure.accelerator("cuda:0")
    )

    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(measure.subprocess, "run", missing)
    assert "driver unknown" in measure.accelerator("cuda:0")
    assert measure.accelerator("cpu") == "cpu"


def test_crops_have_the_size_that_is_asked_for():
    assert {crop.shape for crop in measure.crops(5, (300, 400))} == {(300, 400, 3)}
