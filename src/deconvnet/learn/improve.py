"""One update of a layer's filters on one batch; on an accelerator nothing of it is read before it is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deconvnet._precision import AS_THE_WEIGHTS
from deconvnet.learn.at_hand import at_hand
from deconvnet.learn.convolve import check_finite, check_form, check_images, first_bad, not_finite
from deconvnet.learn.filters import Fit, dead_filters, reseed, update, wide
from deconvnet.learn.net import AdaptiveDeconvNet, inferred


class Measures(NamedTuple):
    """What is read of an update.

    Attributes:
        objective: mean over the images, before the update.
        error: share of the images' energy that is not painted.
        active: share of the activations that are not zero.
        dead: how many filters are dead.
        bad_image: index of the first image that holds NaN or infinity; -1 if none does.
        bad_filters: 1 if a filter does, else 0.
    """

    objective: float
    error: float
    active: float
    dead: float
    bad_image: float
    bad_filters: float

    def check(self) -> None:
        """Raise NotFiniteError if the update was not made, because what it learned from was not finite."""
        if self.bad_image >= 0:
            raise not_finite(int(self.bad_image))
        check_finite("the filters", torch.tensor(torch.nan if self.bad_filters else 0.0, device="cpu"))


@dataclass(frozen=True, eq=False)
class Improved:
    """A layer's filters after an update.

    Attributes:
        fit: what they were learned from.
        measures: those of `Measures`, on the device.
        sound: whether all that was learned from is finite, so far.
    """

    fit: Fit
    measures: Float[Tensor, " measures"]
    sound: Bool[Tensor, ""]


@torch.no_grad()
@AS_THE_WEIGHTS.held()
def improve(
    net: AdaptiveDeconvNet,
    images: Float[Tensor, "n c h w"],
    layer: int,
    options: Mapping[str, Any],
    sound: Bool[Tensor, ""] | None = None,
) -> Improved:
    """Infer a layer's maps, then update its filters.

    On an accelerator the CPU waits for nothing: inference runs to its last iteration, and whether images and filters
    are finite is found out there. If they are not, or were not in an update before this one, the filters stay.

    Args:
        net: the network; changed in place.
        images: on its device.
        layer: which to improve, from 1.
        options: of `partial_fit`, checked.
        sound: of the update before.

    Raises:
        ArgumentError: images of another form or type.
        NotFiniteError: NaN or infinity, on a CPU.
    """
    check_form(images, net.channels)
    inference = {name: value for name, value in options.items() if name != "update_by"}
    filters = [own.filters.detach() for own in net.layers[:layer]]
    own, looks = net.layers[layer - 1], at_hand(images)
    if looks:
        check_images(images)
        for values in filters:
            check_finite("the filters", values)
        bad_image, bad_filters = torch.tensor(-1, device="cpu"), torch.tensor(False, device="cpu")
    else:
        bad_image, bad_filters = first_bad(images), ~torch.stack([f.isfinite().all() for f in filters]).all()
    finite = (bad_image < 0) & ~bad_filters
    sound = finite if sound is None else finite & sound
    before = {} if looks else {name: value.clone() for name, value in own.state_dict().items()}
    codes = inferred(net, images, layer, watched=False, **inference)
    fit = Fit(net, layer, images, codes, net.geometries(codes.size, layer))
    missed, energy = fit.target - fit.painted(own.filters), wide(fit.target.square().sum())
    error = torch.where(energy > 0, wide(missed.square().sum()) / energy, 0)
    update(fit, options["update_by"])
    for name, value in own.state_dict().items() if before else ():
        value.copy_(torch.where(sound, value, before[name]))
    measures = (
        codes[layer].solution.objective.mean(), error, (codes[layer].z != 0).float().mean(), dead_filters(own).sum(),
        bad_image, bad_filters,
    )  # fmt: skip
    return Improved(fit, torch.stack([wide(value) for value in measures]), sound)


def read(measures: Sequence[Float[Tensor, " measures"]]) -> list[Measures]:
    """What several updates measured, by one copy from their device."""
    return [Measures(*row) for row in torch.stack(list(measures)).tolist()]


def reseeded(improved: Improved, measures: Measures) -> int:
    """How many dead filters are given a new start after an update."""
    return reseed(improved.fit) if measures.dead else 0
