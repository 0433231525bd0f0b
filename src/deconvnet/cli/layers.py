"""`deconvnet layers`: which layers there are."""

from deconvnet.cli import options as o
from deconvnet.cli.network import open_network
from deconvnet.cli.result import Result, print_drawn


@o.with_flags
def layers(as_json: o.Json = False, *, flags: o.ModelFlags) -> None:
    """List a network's layers: names, shapes, receptive fields, and the way down through each."""
    network = open_network(flags)

    def draw() -> Result:
        layers = [vars(info) for info in network.net.layers.values()]
        return Result(str(network.net), {**network.facts, "layers": layers})

    print_drawn(draw, as_json=as_json)
