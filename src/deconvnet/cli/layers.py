"""`deconvnet layers`: which layers there are."""

import json

from deconvnet.cli import options as o
from deconvnet.cli.app import app


@app.command()
@o.with_model_flags
def layers(
    as_json: o.Json = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """List a network's layers: names, shapes, receptive fields, and the way down through each."""
    loaded = flags.load()
    net = flags.attach(loaded, rules=rules, smooth=smooth)
    if as_json:
        print(json.dumps([vars(info) for info in net.layers.values()], indent=2, allow_nan=False))
    else:
        print(net)
