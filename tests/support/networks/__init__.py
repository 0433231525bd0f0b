"""The zoo: small networks that between them use every operation and every spelling the engine knows.

Each network is a factory that is given its *parts* (ReLU, max-pool, contrast norm, gate, head). With
`Parts()` it is a user's network in ordinary PyTorch, with the odd spelling its name tells; with the
oracle's parts (`reference/autograd_oracle.py`) it is the twin with the same weights, whose autograd
gives the picture. A test chooses its networks by what `Network` says of them, never by their names.
"""

# isort: off
from support.networks.zoo import NETWORKS, SMOOTH_NETWORKS, Network, Wired, network
from support.networks import stacks, spellings, sharing, convolutions, products, pooling, resizing  # noqa: F401
from support.networks import rearranging, arithmetic, skips, gates, choices, outputs, smooth  # noqa: F401

# isort: on
from support.networks.in_paper import paper_layers
from support.networks.outputs import Scores, ScoresClass
from support.networks.parts import (
    ADAPTIVE_MAX_POOLS,
    MAX_POOL_FUNCTIONS,
    MAX_POOLS,
    RELU6S,
    RELUS,
    FirstOf,
    MaximumWithBuffer,
    Parts,
    Spelled,
)
from support.networks.smooth import ACTIVATIONS
from support.networks.spellings import SPELLED

__all__ = [
    "ACTIVATIONS", "ADAPTIVE_MAX_POOLS", "BY_NAME", "MAX_POOLS", "MAX_POOL_FUNCTIONS", "NETWORKS", "RELU6S", "RELUS",
    "SMOOTH_NETWORKS", "SPELLED", "FirstOf", "MaximumWithBuffer", "Network", "Parts", "Scores", "ScoresClass",
    "Spelled", "Wired", "network", "paper_layers",
]  # fmt: skip

BY_NAME = {network.name: network for network in NETWORKS + SMOOTH_NETWORKS}
