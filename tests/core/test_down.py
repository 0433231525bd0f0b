"""The way down does not fall into the traps of public code."""

import pytest
import torch
import torch.nn.functional as F
from support.comparing import assert_equal
from support.signals import start_on
from torch import Tensor, nn

from deconvnet import DeconvNet, DeconvNetWarning, OperationTable, RuleSet
from deconvnet.core import pooling


def small(*between: nn.Module, relu: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), relu or nn.ReLU(), *between, nn.MaxPool2d(2), nn.Conv2d(4, 3, 2)
    ).double()  # fmt: skip


def photo(n: int = 2, seed: int = 5) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, 10, 10, generator=random, dtype=torch.float64)


def test_no_bias_forward_or_random_reaches_the_picture():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2), nn.Linear(9, 2)
    ).double()  # fmt: skip
    x = photo()
    net = DeconvNet(model, x)
    signal = start_on(model(x))
    pictures, states = [], []
    for bias in (0.0, 100.0):
        with torch.no_grad():
            for layer in (0, 2, 3):
                model[layer].bias.fill_(bias)
        states.append(torch.get_rng_state())
        pictures.append(net.project(x, "3", start=signal).full())
    assert torch.equal(*pictures)
    assert torch.equal(states[0], states[1])
    with pytest.warns(DeconvNetWarning, match="activation 0"):
        assert not net.project(x, "3", start=torch.zeros_like(signal)).full().any()


def test_the_rectifier_on_the_way_down_is_not_forgotten():
    model, x = small(), photo()
    net = DeconvNet(model, x)
    signal = start_on(model(x))
    plus, minus = (net.project(x, "3", start=sign * signal).full() for sign in (1, -1))
    assert (plus + minus).abs().max() > 1e-2  # linear if the ReLU were forgotten
    linear = net.with_rules(RuleSet(forward_mask=False, backward_rectify=False))
    plus, minus = (linear.project(x, "3", start=sign * signal).full() for sign in (1, -1))
    assert (plus + minus).abs().max() < 1e-10


def test_what_is_called_deconvnet_is_not_guided_backpropagation():
    model, x = small(), photo()
    net = DeconvNet(model, x)
    signal = start_on(model(x))
    pictures = {
        rules: net.with_rules(rules).project(x, "3", start=signal).full()
        for rules in ("deconvnet", "guided", "gradient")
    }
    assert (pictures["deconvnet"] - pictures["guided"]).abs().max() > 1e-2
    # a dead rectifier lets DeconvNet's signal through, and no other
    with torch.no_grad():
        model[0].bias.fill_(-1e3)
    dead = {
        rules: net.with_rules(rules).project(x, "3", start=signal).full()
        for rules in ("deconvnet", "guided", "gradient")
    }
    assert dead["deconvnet"].any()
    assert not dead["guided"].any() and not dead["gradient"].any()


def test_the_contrast_norm_is_not_applied_again_on_the_way_down():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.LocalResponseNorm(5, 10.0, 0.75, 2.0)
    ).double()  # fmt: skip
    x = photo()
    net = DeconvNet(model, x)
    signal = start_on(model(x))
    above = net.project(x, "2", start=signal).full()
    assert_equal(above, net.project(x, "1", start=signal).full())


def test_no_colour_mean_is_added_to_the_signed_picture():
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.full((3, 1, 1), 120.0, dtype=torch.float64))
            self.body = small()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x - self.mean)

    model, x = Centred(), 50 * photo() + 120
    result = DeconvNet(model, x).project(x, "body.3", channel=0)
    assert result.full().is_floating_point()
    assert (result.full() < 0).any() and (result.full() > 0).any()
    plain = DeconvNet(model.body, x).project(x - 120.0, "3", channel=0)
    assert_equal(result.full(), plain.full())
    assert (result.full() == 0).any()  # outside of the unit's box: nothing, not the mean


def test_reused_functional_and_in_place_relus_give_one_and_the_same_picture():
    class Spelled(nn.Module):
        def __init__(self, relus: tuple) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.body, self.relus = small(nn.Conv2d(4, 4, 3, padding=1)), relus

        def forward(self, x: Tensor) -> Tensor:
            conv, _, second, pool, last = self.body
            one, two = self.relus
            return last(pool(two(second(one(conv(x))))))

    module = nn.ReLU()
    spellings = [
        (nn.ReLU(), nn.ReLU()),
        (module, module),
        (F.relu, torch.relu_),
        (nn.ReLU(inplace=True), lambda x: x * (x > 0)),
    ]
    x = photo()
    pictures = [DeconvNet(Spelled(relus), x).project(x, "body.4", channel=1).full() for relus in spellings]
    for picture in pictures[1:]:
        assert_equal(picture, pictures[0])


def test_an_in_place_relu_on_the_input_leaves_the_users_photo_alone():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3)).double()
    x = photo()
    before = x.clone()
    net = DeconvNet(model, x)
    net.project(x, "1", channel=0)
    net.activations(x, ["1"])
    assert torch.equal(x, before)


def test_a_model_left_in_training_mode_gives_the_picture_of_eval_and_stays_as_it_was():
    model, x = small(nn.Dropout(0.5), nn.BatchNorm2d(4)), photo()
    model[3].running_mean.normal_()
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    truth = DeconvNet(model, x).project(x, "5", channel=0).full()
    model.train()
    model[2].eval()
    net = DeconvNet(model, x)
    flags = [module.training for module in model.modules()]
    for _ in range(2):
        assert torch.equal(net.project(x, "5", channel=0).full(), truth)
    assert flags == [module.training for module in model.modules()]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class Skips(nn.Module):
    """Rectifiers and norms whose signals are shared with a skip, or are a skip's own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        a = self.norms[0](self.first(x)).relu()
        b = a + self.norms[1](a) + (self.second(a) + a).relu()
        return self.norms[2](b.relu() + b)


def test_signals_that_are_shared_are_not_written_over():
    torch.manual_seed(3)
    model, x = Skips().double().eval(), photo()
    leaf = x.clone().requires_grad_()
    (truth,) = torch.autograd.grad(model(leaf)[:, 1, 4, 4].sum(), leaf)
    net = DeconvNet(model, x, rules=RuleSet(forward_mask=True, backward_rectify=False))
    assert_equal(net.project(x, "norms.2", channel=1, position=(4, 4), start="one").full(), truth)
    net, signal = net.with_rules("deconvnet"), start_on(model(x))
    seen: dict[str, Tensor] = {}
    watched = net.project(x, "norms.2", start=signal, watch=lambda name, _, part, low: seen.update({name: part}))
    before = {name: part.clone() for name, part in seen.items()}
    assert_equal(net.project(x, "norms.2", start=signal).full(), watched.full())
    assert all(torch.equal(seen[name], part) for name, part in before.items())


def test_what_a_rule_of_ones_own_holds_of_its_signal_is_not_written_over():
    torch.manual_seed(3)
    table, signals, copies = OperationTable(), [], []

    @table.rule("relu")
    def same(call, signal):
        signals.append(signal)
        copies.append(signal.clone())
        return signal

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3)).eval()
    x = photo().float()
    DeconvNet(model, x, operations=table).project(x, "4", start=start_on(model(x)))
    assert signals and all(map(torch.equal, signals, copies))


def test_a_number_of_images_does_not_get_what_was_worked_out_for_another():
    model, net_of = small(nn.BatchNorm2d(4)).eval(), {}
    for count in (3, 1, 2, 3):
        x = photo(count)
        net = net_of.setdefault("one", DeconvNet(model, x))
        signal = start_on(model(x))
        pictures = net.project(x, "4", start=signal).full()
        assert_equal(pictures, DeconvNet(model, x).project(x, "4", start=signal).full())


def test_what_a_step_needs_is_worked_out_once(monkeypatch):
    calls = []
    worked_out = pooling.windows_of

    def counted(call):
        calls.append(call.images)
        return worked_out(call)

    monkeypatch.setattr(pooling, "windows_of", counted)
    model, x = small(), photo(1)
    net = DeconvNet(model, x)
    for _ in range(3):
        net.project(x, "3", start=start_on(model(x)))
    assert sorted(set(calls)) == sorted(calls)
