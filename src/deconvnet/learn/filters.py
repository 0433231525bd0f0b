"""Learning filters: those that paint the images best from the feature maps that were inferred."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from deconvnet._devices import knows_float64
from deconvnet.learn.codes import Codes
from deconvnet.learn.convolve import Geometry, filter_adjoint, synthesis
from deconvnet.learn.layer import DeconvLayer
from deconvnet.learn.net import AdaptiveDeconvNet
from deconvnet.learn.proximal import conjugate_gradient

Update: TypeAlias = Literal["online", "conjugate"]
_FIRST_STEP = 3.0  # length of the first online step, as a multiple of the best one for fixed maps
_HALVED_AFTER = 100  # updates until the step has half that length
_NEWEST_WEIGHT = 0.05  # of the newest batch in the running energies, at least
_DEAD_ENERGY = 1e-6  # share of the mean energy below which a map is dead
_UPDATES_BEFORE_DEAD = 10


@dataclass(frozen=True, eq=False)
class Fit:
    """What a layer's filters are learned from: one batch, and its maps in this layer and those below.

    Attributes:
        net: the network.
        layer: which, from 1.
        images: (n, c, h, w) that are painted.
        codes: inferred in this layer and those below.
        geometries: sizes in each layer.
    """

    net: AdaptiveDeconvNet
    layer: int
    images: Float[Tensor, "n c h w"]
    codes: Codes
    geometries: Sequence[Geometry]

    @property
    def _through(self) -> bool:
        return self.net.target == "input"

    @property
    def target(self) -> Float[Tensor, "n c h w"]:
        """What is painted: the images, or the maps below."""
        if self._through or self.layer == 1:
            return self.images
        return self.codes[self.layer - 1].pooled

    def painted(self, filters: Float[Tensor, "m c k l"]) -> Float[Tensor, "n channels h w"]:
        """What filters paint from the layer's maps."""
        image = synthesis(self.codes[self.layer].z, filters, self.geometries[self.layer - 1])
        return self.net.painted(image, self.layer, self.codes, self.geometries) if self._through else image

    def seen(self, images: Float[Tensor, "n channels h w"]) -> Float[Tensor, "m c k l"]:
        """The adjoint of `painted`, where a map and a channel are connected."""
        below = self.pulled_up(images)
        filters = filter_adjoint(below, self.codes[self.layer].z, self.geometries[self.layer - 1])
        return filters * self.net.layers[self.layer - 1].connectivity[:, :, None, None]

    def pulled_up(self, images: Float[Tensor, "n channels h w"]) -> Float[Tensor, "n c y x"]:
        """What the layers below see of images, where this layer starts."""
        if not self._through:
            return images
        return self.net.pulled_up(images, self.layer, self.codes, self.geometries)


@torch.no_grad()
def update(fit: Fit, how: Update) -> None:
    """Improve a layer's filters on one batch, and count it.

    "online": a step along the gradient, divided by each map's running energy, at right angles to the filters; longer
    than the best one for these maps, because the maps cling to the filters that they were inferred with, and shorter
    as updates go on. "conjugate": two conjugate gradient steps on the normal equations (Zeiler et al. 2011,
    section 2.3). Filters are of unit norm afterwards.
    """
    own = fit.net.layers[fit.layer - 1]
    z = fit.codes[fit.layer].z
    energy = z.square().sum((2, 3)).mean(0)
    own.updates += 1
    weight = (1 / wide(own.updates)).clamp(min=_NEWEST_WEIGHT)
    own.energy.lerp_(energy.to(own.energy), weight.to(own.energy))
    _count_switches(fit)
    if how == "conjugate":
        _conjugate(fit)
    else:
        _step(fit)
    own.normalise()


def _step(fit: Fit) -> None:
    own = fit.net.layers[fit.layer - 1]
    residual = fit.target - fit.painted(own.filters)
    floor = (1e-3 * own.energy.mean()).clamp(min=1e-30)
    direction = fit.seen(residual) / own.energy.clamp(min=floor)[:, None, None, None]
    along = (direction * own.filters).flatten(1).sum(1)
    direction -= along[:, None, None, None] * own.filters
    painted = fit.painted(direction)
    square = wide(painted.square().sum())
    best = torch.where(square > 0, wide((painted * residual).sum()) / square, 0)
    length = best * _FIRST_STEP / (1 + wide(own.updates) / _HALVED_AFTER)
    own.filters += length.to(own.filters) * direction


def wide(value: Tensor) -> Tensor:
    """A number in the widest type of its device."""
    return value.to(torch.float64 if knows_float64(value.device) else torch.float32)


def _conjugate(fit: Fit, steps: int = 2) -> None:
    own = fit.net.layers[fit.layer - 1]
    shape = own.filters.shape

    def product(f: Tensor) -> Tensor:
        return fit.seen(fit.painted(f.view(shape))).view_as(f)

    flat = own.filters.flatten(2)[None]
    solved = conjugate_gradient(product, fit.seen(fit.target).view_as(flat), flat, steps)
    own.filters.copy_(solved.view(shape))


def _count_switches(fit: Fit) -> None:
    """Count which position of each block was the strongest, in blocks that are not empty."""
    codes, own = fit.codes[fit.layer], fit.net.layers[fit.layer - 1]
    if codes.switches is None:
        return
    offsets = codes.switches.offsets.long().transpose(0, 1).flatten(1)
    alive = (codes.pooled != 0).transpose(0, 1).flatten(1)
    own.usual.scatter_add_(1, offsets, alive.to(own.usual))


def dead_filters(layer: DeconvLayer) -> Bool[Tensor, " m"]:
    """The filters that are dead: after some updates, the running energy of their maps is a millionth of the mean."""
    return (layer.energy <= _DEAD_ENERGY * layer.energy.mean()) & (layer.updates >= _UPDATES_BEFORE_DEAD)


@torch.no_grad()
def reseed(fit: Fit) -> int:
    """Give dead filters, whose maps are all but empty, the patches that are painted worst; return how many got one.

    Patches do not overlap, and only the channels that the map is connected with count; where nothing is missed, or no
    patch is left, filters stay as they are.
    """
    own, geometry = fit.net.layers[fit.layer - 1], fit.geometries[fit.layer - 1]
    mean, dead = own.energy.mean(), dead_filters(own).nonzero()[:, 0].tolist()
    if not dead:
        return 0
    missed = fit.pulled_up(fit.target - fit.painted(own.filters))
    k, kk = geometry.kernel
    energy = F.avg_pool2d(missed.square(), (k, kk), stride=1)  # of each channel of every patch
    free = torch.ones_like(energy[:, 0], dtype=torch.bool)
    reseeded = 0
    for channel in dead:
        worst = energy[:, own.connectivity[channel]].sum(1) * free
        if not worst.any():
            continue
        image, y, x = (int(i) for i in torch.unravel_index(worst.argmax(), worst.shape))
        patch = missed[image, :, y : y + k, x : x + kk] * own.connectivity[channel, :, None, None]
        own.filters[channel] = patch / patch.norm()
        own.energy[channel] = mean
        free[image, max(y - k + 1, 0) : y + k, max(x - kk + 1, 0) : x + kk] = False
        reseeded += 1
    return reseeded
