"""The forward pass writes over a value only where nothing else holds it."""

import torch
from support.comparing import assert_equal
from torch import Tensor, nn

from deconvnet import DeconvNet, OperationTable


class Shared(nn.Module):
    """A convolution's output is used by a rectifier and, before it, by something else."""

    def __init__(self, first: nn.Module) -> None:
        super().__init__()
        self.c, self.first, self.r, self.e = nn.Conv2d(3, 4, 3), first, nn.ReLU(), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.c(x)
        a = self.first(y).view(y.shape)
        return self.e(a + self.r(y))


def test_what_a_rule_remembers_is_not_written_over():
    torch.manual_seed(0)
    model, x = Shared(nn.Tanh()).double().eval(), torch.randn(2, 3, 10, 10).double()
    leaf = x.clone().requires_grad_()
    (truth,) = torch.autograd.grad(model(leaf)[:, 1, 4, 4].sum(), leaf)
    net = DeconvNet(model, x, rules="gradient", smooth="gradient")
    assert_equal(net.project(x, "e", channel=1, position=(4, 4), start="one").full(), truth)


def test_a_view_that_is_asked_for_is_not_written_over():
    torch.manual_seed(0)
    model, x = Shared(nn.Flatten()).double().eval(), torch.randn(2, 3, 10, 10).double()
    net = DeconvNet(model, x)
    layers = net.activations(x, ["first", "r"])
    assert_equal(layers["first"], model.c(x).flatten(1).detach())
    assert_equal(layers["r"], model.c(x).relu().detach())


def test_what_a_rule_of_ones_own_remembers_of_its_output_is_not_written_over():
    torch.manual_seed(0)
    table, x = OperationTable(), torch.randn(1, 3, 10, 10)
    seen = []

    def up(call):
        output = call.compute()
        return output, {"output": output}

    @table.rule("aten.conv2d", up=up)
    def down(call, signal):
        seen.append(float(call.memory["output"].min()))
        return signal.new_zeros(call.sizes())

    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), x, operations=table)
    net.project(x, "1", channel=0)
    assert min(seen) < 0
