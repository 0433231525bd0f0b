"""Networks of the zoo by what they are."""

import pytest
from reference.autograd_oracle import DECONVNET, OracleContrastNorm, OracleMaxPool, OracleParts
from support.networks import NETWORKS, Network


def _has(network: Network, part: type) -> bool:
    return any(isinstance(m, part) for m in network.make(OracleParts(DECONVNET)).modules())


POOLED = [network for network in NETWORKS if _has(network, OracleMaxPool)]
NORMED = [network for network in NETWORKS if _has(network, OracleContrastNorm)]
GATED = [network for network in NETWORKS if network.gated]
NOT_REPEATED = [network for network in NETWORKS if not network.repeats]
CLASSIFIERS = [
    network
    for network in NETWORKS
    if network.output is None and network.images().dim() > 1 and network.model()(network.images()).dim() == 2
]  # fmt: skip

every_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
