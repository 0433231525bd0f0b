"""How to reproduce a page's pictures."""

from dataclasses import replace

import pytest

from deconvnet import DeconvNet, RuleSet, load_model
from deconvnet.core.rules import RULE_SETS
from deconvnet.network import attached
from deconvnet.viewer.repeat import flags, setup


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    ("spec", "rules", "options", "words"),
    [
        ("zfnet-mini", "deconvnet", {"precision": "bfloat16"}, "--precision bfloat16"),
        ("zfnet-mini", "guided", {}, "--rules guided"),
        ("zfnet-mini", RuleSet(smooth="rectify"), {}, "--smooth rectify"),
        ("zfnet-mini", RuleSet(unpool="average"), {}, None),
        ("zfnet-mini", "gradient", {}, "--rules gradient"),
        ("zfnet-mini", replace(RULE_SETS["gradient"], smooth="refuse"), {}, "--rules gradient --smooth refuse"),
        ("zfnet-mini", "deconvnet", {"labels": [f"class number {i}" for i in range(11)]}, None),
        ("zfnet-mini", "deconvnet", {"channels": 3}, "--input-channels 3"),
        ("zfnet-mini", "deconvnet", {"value_range": (0, 255)}, "--range 0.0,255.0"),
        (
            "torchvision:squeezenet1_1@random",
            "deconvnet",
            {"size": (96, 128), "mean": (0.5, 0.5, 0.5), "device": "cpu"},
            "--model torchvision:squeezenet1_1@random --size 96,128 --mean 0.5,0.5,0.5 --device cpu",
        ),
    ],
)
def test_flags_and_lines_name_the_network_and_the_rules(spec, rules, options, words):
    precision = options.get("precision")
    loaded = load_model(spec, **{name: value for name, value in options.items() if name != "precision"})
    net = DeconvNet(loaded.model, loaded.example_input, rules=rules, precision=precision)
    assert flags(net, loaded) == words
    namespace: dict[str, object] = {}
    exec(setup(net, loaded), namespace)
    assert namespace["net"].rules == net.rules
    assert attached(namespace["net"]).arithmetic == attached(net).arithmetic
    assert namespace["loaded"].preprocess == loaded.preprocess and namespace["loaded"].labels == loaded.labels
