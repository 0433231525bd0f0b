"""Networks on another device than the CPU: the CPU's numbers, nothing mixed, and the device not waited for in vain."""

import ast
import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.pretended import Device, on, pretended
from torch import Tensor, nn

import deconvnet
from deconvnet import DeconvNet, LoadedModel, Preprocess, Unit, build_atlas, learn, probes
from deconvnet._devices import in_float64, sent
from deconvnet._memory import free_bytes
from deconvnet.engine import carry

DEVICE = "cuda:0"
CALLS: dict[str, Callable[[DeconvNet, Tensor], Tensor]] = {
    "explain": lambda net, x: net.explain(x, [1, 3]).full(),
    "units": lambda net, x: net.project(x, "8", channel="top:4").full(),
    "units on whole maps": lambda net, x: net.project(x, "8", channel="top:4", route="dense").full(),
    "units in windows": lambda net, x: net.project(x, "8", channel="top:4", route="windowed").full(),
    "listed units": lambda net, x: net.project(x, "5", units=[Unit("5", 1, (2, 3), 0), Unit("5", 2, (4, 3), 1)]).full(),
    "a whole map": lambda net, x: net.project(x, "8", channel=[1, 2], position="all").full(),
    "other rules": lambda net, x: net.with_rules("guided").project(x, "8", channel="top:4").full(),
    "activations": lambda net, x: net.activations(x, "8")["8"],
    "probabilities": lambda net, x: net.probabilities(x),
    "steps": lambda net, x: net.steps(x[:1], target=1)[-1].signal,
    "responsible": lambda net, x: net.responsible(x[:1], 1, "8", 2).units.full(),
}


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 9, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(9, 5),
    ).eval()  # fmt: skip


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 25, 23, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def device() -> Iterator[Device]:
    with pretended(DEVICE) as made:
        yield made


@pytest.fixture
def without_float64() -> Iterator[Device]:
    with pretended(DEVICE, knows_float64=False) as made:
        yield made


def both(model: nn.Module, x: Tensor) -> tuple[tuple[DeconvNet, Tensor], tuple[DeconvNet, Tensor]]:
    """A network and images on the CPU, and on the device."""
    there = x.to(DEVICE)
    return (DeconvNet(model, x), x), (DeconvNet(on(DEVICE, copy.deepcopy(model)), there), there)


def test_a_network_on_a_device_gives_the_cpu_s_numbers_and_the_cpu_waits_for_no_copy_to_it(model, x, device: Device):
    here, there = both(model, x)
    for name, call in CALLS.items():
        result = call(*there)
        device.waits.clear()
        torch.testing.assert_close(call(*there), result, atol=0, rtol=0, check_device=True)
        assert not device.waits, name
        assert result.device == there[1].device, name
        torch.testing.assert_close(result.cpu(), call(*here), atol=1e-6, rtol=1e-5, msg=name)


def test_a_device_is_given_many_units_at_once_where_a_cpu_takes_few(device: Device, monkeypatch):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3), nn.ReLU())
    batches: list[int] = []
    real = carry.carry_down
    monkeypatch.setattr(carry, "carry_down", lambda *args: batches.append(len(args[2])) or real(*args))
    x = torch.randn(1, 3, 256, 256)
    for net, images in both(model.eval(), x):
        batches.append(-1)
        net.project(images, "4", channel="top:12", route="dense")
    on_cpu, on_device = batches[1 : batches.index(-1, 1)], batches[batches.index(-1, 1) + 1 :]
    assert len(on_device) == 1 < len(on_cpu)


def test_pictures_of_a_result_on_a_device_are_those_of_one_on_the_cpu(model, x, without_float64: Device):
    pictures = [net.project(images, "8", channel="top:2").picture(1) for net, images in both(model, x)]
    assert pictures[0].tobytes() == pictures[1].tobytes()


def test_probes_measure_the_same_on_a_device(model, x, without_float64: Device):
    few = probes.Transforms((0, 1), (1,), (0,))
    measured = [
        (
            probes.occlude(net, images[:1], size=5, stride=9, fill=0.0).activities,
            probes.effective_fields(net, images, "5", units=1)[0].energy,
            probes.invariance(net, images, 0, layers="8", transforms=few)["translation"].probabilities,
        )
        for net, images in both(model, x)
    ]
    for expected, found in zip(*measured, strict=True):
        torch.testing.assert_close(found.cpu(), expected, atol=1e-5, rtol=1e-4)


def test_a_position_that_is_covered_is_not_sent_to_the_device_alone(model, x, device: Device):
    _, (net, images) = both(model, x)
    waits = []
    for stride in (10, 3):  # 9 positions, and 56
        device.waits.clear()
        probes.occlude(net, images[:1], size=5, stride=stride, fill=0.0)
        waits.append(len(device.waits))
    assert max(waits) < 25


@pytest.fixture
def by_default(device: Device) -> Iterator[Device]:
    torch.set_default_device(DEVICE)
    yield device
    torch.set_default_device(None)


def test_probes_and_learning_work_where_the_device_is_the_default(model, x, by_default: Device):
    net, images = DeconvNet(on(DEVICE, model), x.to(DEVICE)), x.to(DEVICE)
    assert probes.occlude(net, images[:1], size=9, stride=9, fill=0.0).activities.device.type == "cpu"
    assert probes.effective_fields(net, images, "5", units=1)[0].width > 0
    learned = on(DEVICE, learn.AdaptiveDeconvNet.of([2], kernel=3, pool=None))
    learn.fit(learned, [torch.randn(2, 1, 12, 12)], max_iter=2)
    assert learned.layers[0].filters.device == torch.device(DEVICE)


def test_an_atlas_of_a_network_on_a_device_is_that_of_the_cpu(model, tmp_path: Path, device: Device):
    photos, preprocess = tmp_path / "photos", Preprocess((25, 25), 25, (0.5,) * 3, (0.25,) * 3)
    photos.mkdir()
    for i in range(3):
        pixels = torch.randint(256, (30, 27, 3), generator=torch.Generator().manual_seed(i), dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(photos / f"{i}.png")
    tops = []
    for name in ("cpu", DEVICE):
        loaded = LoadedModel(on(name, copy.deepcopy(model)), preprocess, device=torch.device(name))
        atlas = build_atlas(
            DeconvNet(loaded.model, loaded.example_input), photos, ["5"], 2, out=tmp_path / name.replace(":", ""),
            loaded=loaded, batch=2,
        )  # fmt: skip
        tops.append([(top.index, top.position) for top in atlas.top("5", 1)])
    assert tops[0] == tops[1] and len(tops[0]) == 2


def test_every_tensor_that_is_made_says_on_which_device_whatever_the_default_device_is():
    makers = {"arange", "empty", "eye", "fftfreq", "full", "linspace", "ones", "rand", "randint", "randn", "randperm",
              "rfftfreq", "tensor", "zeros"}  # fmt: skip
    silent = [
        f"{path}:{call.lineno}"
        for path in sorted(Path(deconvnet.__file__).parent.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in makers
        if ast.unparse(call.func.value) in ("torch", "torch.fft")
        if not any(keyword.arg in ("device", None) for keyword in call.keywords)
    ]
    assert not silent


def test_what_is_sent_to_another_device_than_a_gpu_is_copied():
    assert sent(torch.tensor([1]), torch.device("meta")).is_meta
    assert in_float64(torch.ones(1)).dtype == torch.float64


def test_what_pytorch_keeps_of_a_gpu_without_need_counts_as_free(monkeypatch):
    stats = {"reserved_bytes": {"all": {"current": 700}}, "allocated_bytes": {"all": {"current": 300}}}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (400, 2000))
    monkeypatch.setattr(torch.cuda, "memory_stats_as_nested_dict", lambda device: stats)
    assert free_bytes(torch.device("cuda")) == 200
    stats.clear()  # as before anything was computed there
    assert free_bytes(torch.device("cuda")) == 100
