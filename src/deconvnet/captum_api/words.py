"""What a user of Captum is told where Captum is silent."""

import warnings

from deconvnet._errors import DeconvNetWarning
from deconvnet.results.facts import Facts


def warn_of_derivatives(facts: Facts) -> None:
    """Warn where the way down took a derivative that is not the deconvnet's."""
    if "differentiated" in facts.smooth:
        warnings.warn(
            "the network has operations that are not piecewise linear, and their derivatives were taken: what came "
            "down is partly a gradient.",
            DeconvNetWarning,
            stacklevel=3,
        )
