"""Maps whose numbers of one position lie together in memory: the same values, switches and pictures."""

from unittest import mock

import pytest
import torch
from support.attaching import silent_units_are_fine
from support.comparing import assert_equal
from support.networks import NETWORKS, Network

from deconvnet import DeconvNet, RuleSet
from deconvnet.core.layout import maps_together, positions_together

RULES = {
    "deconvnet": RuleSet(smooth="rectify"),
    "guided": RuleSet(forward_mask=True, smooth="rectify"),
    "gradient": RuleSet(forward_mask=True, backward_rectify=False, lrn="gradient", gates="product", smooth="gradient"),
}
ON_MAPS = [network for network in NETWORKS if network.images().ndim == 4]
usual = mock.patch("deconvnet.core.up.positions_together", lambda x: x)


@silent_units_are_fine
@pytest.mark.sampled(every=9)
@pytest.mark.parametrize(
    ("network", "rules"),
    [(network, rules) for network in ON_MAPS for rules in RULES.values()],
    ids=lambda each: each.name,
)
def test_no_layout_changes_what_a_network_gives(network: Network, rules: RuleSet):
    x = network.images().float()
    options = {} if network.output is None else {"output": network.output}
    net = DeconvNet(network.model().float(), x, rules=rules, **options)
    for layer in network.layers:
        size = net.layers[layer].size
        position = tuple(n // 2 for n in size) if size else None
        with usual:
            before = net.activations(x, layer)
            pictures = net.project(x, layer, channel=0, position=position, start="one").windows
        for name, values in net.activations(x, layer).items():
            assert_equal(values, before[name])
        assert_equal(net.project(x, layer, channel=0, position=position, start="one").windows, pictures)


def test_what_a_user_is_given_lies_as_ever():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2)).eval()
    x = torch.randn(2, 3, 12, 14)
    net = DeconvNet(model, x, rules="guided")
    assert all(values.is_contiguous() for values in net.activations(x, ["0", "1", "2"]).values())


def test_only_float32_maps_on_a_cpu_are_laid_out_anew():
    x = torch.randn(2, 3, 4, 5)
    assert not positions_together(x).is_contiguous() and torch.equal(positions_together(x), x)
    assert maps_together(positions_together(x)).is_contiguous()
    for other in (x.double(), x[0]):
        assert positions_together(other) is other


class Amplifying(torch.nn.Module):
    """Its scores are what is left where large sums cancel, so they show how float32 was rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(16, 64, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).sum((2, 3)) - 3 * self.conv(x / 3).sum((2, 3))


def test_a_capture_is_compared_with_the_model_in_the_layout_of_the_model():
    torch.manual_seed(0)
    net = DeconvNet(Amplifying().eval(), torch.randn(2, 16, 24, 24))
    assert net.layers["conv"].channels == 64
