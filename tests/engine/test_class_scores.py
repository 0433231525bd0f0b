"""What is skipped at the output is a fact, and probabilities are the network's own."""

import pytest
import torch
from support.comparing import assert_equal
from torch import Tensor, nn

from deconvnet import DeconvNet, LayerInfo, OperationTable

ENDS = {
    "softmax": lambda z: z.softmax(1),
    "log_softmax": lambda z: z.log_softmax(1),
    "sigmoid": lambda z: z.sigmoid(),
    "log_softmax of a sigmoid": lambda z: z.sigmoid().log_softmax(1),
    "sigmoid of a softmax": lambda z: z.softmax(1).sigmoid(),
}


class Ending(nn.Module):
    def __init__(self, end: str) -> None:
        super().__init__()
        self.c, self.f, self.end = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), ENDS[end]

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.f(self.c(x).relu().mean((2, 3))))


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("end", ENDS)
def test_probabilities_are_the_networks_own(end):
    torch.manual_seed(0)
    model, x = Ending(end).double().eval(), torch.randn(3, 3, 12, 12).double()
    truth = model(x).exp() if end.startswith("log") else model(x)
    net = DeconvNet(model, x)
    assert_equal(net.probabilities(x), truth.detach())
    assert_equal(net.scores(x), model.f(model.c(x).relu().mean((2, 3))).detach())


def test_all_that_is_skipped_is_told():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 12, 12)
    result = DeconvNet(Ending("log_softmax of a sigmoid").eval(), x).explain(x, 1)
    assert result.facts.skipped == ("log_softmax", "sigmoid")
    assert result.notes[0] == "The log_softmax and the sigmoid at the output were skipped."


@pytest.mark.parametrize("words", ["derivative", "rectify (smooth)", "the same signal"])
def test_the_words_of_a_rule_decide_nothing(words):
    torch.manual_seed(0)
    table, x = OperationTable(), torch.randn(2, 3, 12, 12)
    table.rule("aten.silu", words=words)(lambda call, signal: signal.clamp(min=0))
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 2, 3)), x, smooth="gradient",
                    operations=table)  # fmt: skip
    facts = net.project(x, "2", channel=0).facts
    assert facts.image_free and not facts.smooth


ACTIVATIONS = [nn.LogSigmoid(), nn.RReLU(), nn.Softshrink(), nn.PReLU(4), nn.Hardshrink(), nn.Softsign(), nn.Mish()]


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("smooth", ["rectify", "gradient"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda module: type(module).__name__)
def test_an_activation_does_not_widen_what_a_unit_sees(activation: nn.Module, smooth: str):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), activation, nn.Conv2d(4, 2, 1)).eval()
    info: LayerInfo = DeconvNet(model, torch.randn(1, 3, 32, 32), smooth=smooth).layers["2"]
    assert info.receptive_field == (3, 3)
