"""Networks of the zoo, captured once for all tests of a process, and their twins."""

from functools import cache, lru_cache

import pytest
from reference.autograd_oracle import Oracle, OracleParts, WayDown
from support.networks import BY_NAME

from deconvnet import DeconvNet, LoadedModel, RuleSet, load_model


@cache
def attached(name: str, rules: str | RuleSet = "deconvnet", **smooth: str) -> DeconvNet:
    """A network of the zoo under a rule set; all rule sets share one capture."""
    if (rules, smooth) != ("deconvnet", {}):
        return attached(name).with_rules(rules, **smooth)
    network = BY_NAME[name]
    options = {} if network.output is None else {"output": network.output}
    return DeconvNet(network.model(), network.images(2), **options)


@lru_cache(maxsize=30)  # a network's, under every way down
def oracle(name: str, way: WayDown | None, images: int = 2) -> Oracle:
    """The twin of a network with that way down in its backward; with None the user's model itself."""
    network = BY_NAME[name]
    return Oracle(network.model() if way is None else network.make(OracleParts(way)), network.images(images))


def rules_of(way: WayDown, smooth: str = "refuse") -> RuleSet:
    return RuleSet(
        forward_mask=way.forward_mask,
        backward_rectify=way.backward_rectify,
        unpool=way.unpool,
        overlap=way.overlap,
        lrn=way.lrn,
        gates=way.gates,
        detach=way.detach,
        smooth=smooth,
    )


# a silent unit's picture may be all zero, which the engine says in a warning
silent_units_are_fine = pytest.mark.filterwarnings("ignore:.* units have activation 0")


@cache
def bundled() -> tuple[LoadedModel, DeconvNet]:
    """The network that comes with the package."""
    loaded = load_model("zfnet-mini")
    return loaded, DeconvNet(loaded.model, loaded.example_input)
