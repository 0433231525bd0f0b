"""`deconvnet layers`: which layers there are."""

from deconvnet.cli import options as o
from deconvnet.cli.network import open_network
from deconvnet.cli.result import Result, print_drawn


@o.with_model_flags
def layers(as_json: o.Json = False, *, flags: o.ModelFlags) -> None:
    """List a network's layers: names, shapes, receptive fields, and the way down through each."""
    net = open_network(flags).net

    def draw() -> Result:
        facts = {"layers": [vars(info) for info in net.layers.values()], "rules": net.rules.name}
        return Result(str(net), facts)

    print_drawn(draw, as_json=as_json)
