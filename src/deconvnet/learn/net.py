"""Deconvolutional networks: layers of sparse feature maps that paint images from the top down."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from deconvnet._checks import as_index, as_list, instance, is_one_of, real_number, short, whole_number
from deconvnet._errors import ArgumentError
from deconvnet._precision import AS_THE_WEIGHTS
from deconvnet.learn.codes import Codes, LayerCodes, join_codes, mask_of, pooled_codes
from deconvnet.learn.convolve import Boundary, Geometry, adjoint, check_finite, check_images, synthesis
from deconvnet.learn.infer import Problem, coded, images_at_once, solver_of
from deconvnet.learn.layer import DeconvLayer, for_each_layer
from deconvnet.learn.pooling import pool, pool_at, pooled_size, unpool
from deconvnet.learn.proximal import Linear, fista, ista, largest_square, splitting
from deconvnet.learn.solution import Solution

Solver: TypeAlias = Literal["auto", "dr", "fista", "ista", "splitting"]
Target: TypeAlias = Literal["input", "below"]
_LEAST_SEED = -(2**63)  # that PyTorch takes
_VALUES_AT_ONCE = 2**18  # of a layer's maps that are solved on a CPU, so that they stay in its cache


class AdaptiveDeconvNet(nn.Module):
    """A deconvolutional network that learns without labels (Zeiler et al. 2010 and 2011).

    Layers are numbered from 1. Each layer's feature maps, convolved with its filters and unpooled with the switches
    of the layers below, paint the input image.

    Args:
        layers: from the lowest; each has as many channels as there are pooled maps below.
        boundary: "valid", as in the papers, "circular" or "zero"; see `sparse_code`.
        target: what a layer paints when its maps are inferred: the "input", as in 2011, or the maps "below", as in
            2010.

    Raises:
        ArgumentError: no layers, or channels that do not match the layer below.

    Example:
        >>> net = AdaptiveDeconvNet.of([15, 50], kernel=7, pool=(3, 3, 2), seed=0)
        >>> net
        AdaptiveDeconvNet(
          boundary=valid, target=input
          (layers): ModuleList(
            (0): DeconvLayer(1, 15, 7, pool=(3, 3, 2), lam=0.2)
            (1): DeconvLayer(8, 50, 7, pool=(3, 3, 2), lam=0.2)
          )
        )
        >>> codes = net.infer(torch.randn(1, 1, 48, 48), max_iter=5)
        >>> [tuple(layer.z.shape) for layer in codes.layers]
        [(1, 15, 54, 54), (1, 50, 24, 24)]
        >>> net.reconstruct(codes, layer=2, keep=1).shape
        torch.Size([1, 1, 48, 48])
    """

    def __init__(
        self, layers: Sequence[DeconvLayer], *, boundary: Boundary = "valid", target: Target = "input"
    ) -> None:
        super().__init__()
        listed = list(layers) if isinstance(layers, nn.ModuleList) else as_list(layers)
        if not listed or not all(isinstance(layer, DeconvLayer) for layer in listed):
            raise ArgumentError(f"a network has at least one layer, each a DeconvLayer; got {short(layers)}.")
        if not is_one_of(boundary, get_args(Boundary)) or not is_one_of(target, get_args(Target)):
            raise ArgumentError(
                f"boundary is one of {get_args(Boundary)} and target one of {get_args(Target)}; "
                f"got {short(boundary)}, {short(target)}."
            )
        for i, (below, above) in enumerate(pairwise(listed), 2):
            if above.channels != below.pooled_maps:
                raise ArgumentError(
                    f"layer {i} has {above.channels} channels, but the layer below has {below.pooled_maps} pooled maps."
                )
        self.layers: Sequence[DeconvLayer] = nn.ModuleList(listed)  # type: ignore[assignment]
        self.boundary, self.target = boundary, target

    @classmethod
    def of(
        cls,
        maps: Sequence[int],
        *,
        channels: int = 1,
        kernel: int | Sequence[int] = 7,
        pool: Sequence[int] | None = (3, 3, 2),
        lam: float | Sequence[float] = 0.2,
        boundary: Boundary = "valid",
        target: Target = "input",
        seed: int = 0,
    ) -> "AdaptiveDeconvNet":
        """A network with a given number of maps in each layer.

        Args:
            maps: how many in each layer, from the lowest.
            channels: of the images: 1 grey, 3 colour.
            kernel, lam: as in `DeconvLayer`, for all layers or for each.
            pool: as in `DeconvLayer`, for all layers.
            boundary, target: as in the class.
            seed: of the first, random filters. Torch's own random state is not touched.

        Raises:
            ArgumentError: as `DeconvLayer`; not one number for each layer.
        """
        random = torch.Generator().manual_seed(whole_number("seed", seed, least=_LEAST_SEED))
        counts = as_list(maps)
        if counts is None:
            raise ArgumentError(f"maps is how many maps each layer has, from the lowest; got {short(maps)}.")
        kernels = for_each_layer("kernel", kernel, len(counts))
        weights = for_each_layer("lam", lam, len(counts))
        layers: list[DeconvLayer] = []
        for count, length, weight in zip(counts, kernels, weights, strict=True):
            below = layers[-1].pooled_maps if layers else channels
            layers.append(DeconvLayer(below, count, length, pool=pool, lam=weight, generator=random))
        return cls(layers, boundary=boundary, target=target)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"boundary={self.boundary}, target={self.target}"

    @property
    def channels(self) -> int:
        """Of the images."""
        return self.layers[0].channels

    def geometries(self, size: tuple[int, int], upto: int | None = None) -> list[Geometry]:
        """Sizes in each layer for images of one size.

        Raises:
            ArgumentError: images, or the maps below a layer, are smaller than its filters.

        Example:
            >>> net = AdaptiveDeconvNet.of([15, 50, 100, 150])
            >>> [geometry.maps for geometry in net.geometries((150, 150))]  # as in the paper
            [(156, 156), (58, 58), (26, 26), (15, 15)]
        """
        geometries: list[Geometry] = []
        lengths = as_list(size) or []
        if len(lengths) != 2:
            raise ArgumentError(f"size is (height, width) of the images; got {short(size)}.")
        h, w = (whole_number("a length in size", length) for length in lengths)
        size = (h, w)
        for i, layer in enumerate(self.layers[: checked_layer(self, upto)], 1):
            try:
                geometries.append(Geometry(size, (layer.kernel, layer.kernel), self.boundary))
            except ArgumentError as fault:
                raise ArgumentError(f"layer {i}: {fault}") from None
            h, w = geometries[-1].maps
            size = (h, w) if layer.pool is None else pooled_size((layer.maps, h, w), layer.pool)[1:]
        return geometries

    @torch.no_grad()
    @AS_THE_WEIGHTS.held()
    def infer(
        self,
        images: Float[Tensor, "n c h w"],
        upto: int | None = None,
        *,
        solver: Solver = "auto",
        tol: float = 1e-3,
        max_iter: int = 100,
        steps: int = 10,
    ) -> Codes:
        """Sparse feature maps of images, layer by layer from the lowest.

        Each layer's maps are those that paint the images best through the layers below with the switches that these
        took. Its maps are pooled for the next layer.

        Args:
            images: best with local contrast normalised.
            upto: the last layer to infer; all by default.
            solver: "auto" takes alternating directions ("dr") where the map is a circular convolution and "fista"
                elsewhere; "ista" takes `steps` steps and pools and unpools after each, as in 2011; "splitting" is
                2010's, for |z|^p.
            tol, max_iter: as in `sparse_code`.
            steps: how many "ista" takes.

        Raises:
            ArgumentError: wrong shapes, types or values; images smaller than a filter; a layer that the solver
                cannot solve, because its p is below 1 or it is `nonneg`.
            NotFiniteError: NaN or infinity.
        """
        check_images(images, self.channels)
        options, last = checked_inference(solver, tol, max_iter, steps), checked_layer(self, upto)
        for layer in self.layers[:last]:
            check_finite("the filters", layer.filters)
        return inferred(self, images, last, **options)

    def linear(self, layer: int, below: Codes, geometries: Sequence[Geometry], *, through: bool = True) -> Linear:
        """R of a layer: its maps to images, with the switches that the layers below took, and the adjoint.

        Args:
            layer: which, from 1.
            below: what was inferred for the layers below.
            geometries: sizes, from `geometries`.
            through: down to the images, not only to the maps below.

        Raises:
            ArgumentError: no such layer, or what is below it is missing.
        """
        layer = _check_below(self, layer, below, geometries, least=layer)
        filters, geometry = self.layers[layer - 1].filters, geometries[layer - 1]

        def down(z: Tensor) -> Tensor:
            image = synthesis(z, filters, geometry)
            return self.painted(image, layer, below, geometries) if through else image

        def up(image: Tensor) -> Tensor:
            return adjoint(self.pulled_up(image, layer, below, geometries) if through else image, filters, geometry)

        return Linear(down, up)

    @AS_THE_WEIGHTS.held()
    def painted(
        self, maps: Float[Tensor, "n m h w"], layer: int, below: Codes, geometries: Sequence[Geometry]
    ) -> Float[Tensor, "n c y x"]:
        """Images that the pooled maps below a layer paint.

        Raises:
            ArgumentError: no such layer, or what is below it is missing.
        """
        layer = _check_below(self, layer, below, geometries)
        for i in range(layer - 1, 0, -1):
            switches = below[i].switches
            z = maps if switches is None else unpool(maps, switches)
            maps = synthesis(z, self.layers[i - 1].filters, geometries[i - 1])
        return maps

    @AS_THE_WEIGHTS.held()
    def pulled_up(
        self, images: Float[Tensor, "n c y x"], layer: int, below: Codes, geometries: Sequence[Geometry]
    ) -> Float[Tensor, "n m h w"]:
        """What the layers below a layer see of images, at their switches: the adjoint of `painted`.

        Raises:
            ArgumentError: no such layer, or what is below it is missing.
        """
        layer = _check_below(self, layer, below, geometries)
        for i in range(1, layer):
            seen = adjoint(images, self.layers[i - 1].filters, geometries[i - 1])
            switches = below[i].switches
            images = seen if switches is None else pool_at(seen, switches)
        return images

    @torch.no_grad()
    @AS_THE_WEIGHTS.held()
    def reconstruct(
        self,
        codes: Codes,
        layer: int | None = None,
        keep: int | Bool[Tensor, "n m y x"] | None = None,
    ) -> Float[Tensor, "n c h w"]:
        """Images that a layer's feature maps paint.

        Args:
            codes: from `infer`.
            layer: which; by default the last that was inferred.
            keep: how many of the strongest activations of each image to keep, or a mask of them, shaped like the
                layer's maps; all by default.

        Raises:
            ArgumentError: no such layer, or a mask of another shape.
        """
        instance("codes", codes, Codes)
        layer = checked_layer(self, len(codes) if layer is None else layer)
        z = codes[layer].z
        if keep is not None:
            z = z * mask_of(z, keep)
        geometries = self.geometries(codes.size, layer)
        image = synthesis(z, self.layers[layer - 1].filters, geometries[layer - 1])
        return self.painted(image, layer, codes, geometries)


@torch.no_grad()
def inferred(net: AdaptiveDeconvNet, images: Tensor, last: int, *, watched: bool = True, **options: Any) -> Codes:
    """As `AdaptiveDeconvNet.infer`, of options that were checked and images whose numbers are not looked at.

    Args:
        net: the network.
        images: (n, c, h, w), which `check_form` has passed.
        last: the last layer to infer.
        watched: as for `Record`.
        options: of `infer`.

    Raises:
        ArgumentError: images smaller than a filter, or of another type; a layer that the solver cannot solve.
    """
    for i, layer in enumerate(net.layers[:last], 1):
        _check_layer(i, layer, images, options["solver"])
    size = (images.shape[2], images.shape[3])
    geometries = net.geometries(size, last)
    largest = max(layer.maps * math.prod(own.maps) for layer, own in zip(net.layers, geometries, strict=False))
    parts = []
    at_once = images_at_once(images, largest, _VALUES_AT_ONCE)
    for first in range(0, len(images), at_once):
        batch = images[first : first + at_once]
        codes: list[LayerCodes] = []
        for i in range(1, last + 1):
            below = Codes(tuple(codes), size)
            solution = _solve(net, i, batch, below, geometries, watched=watched, **options)
            codes.append(pooled_codes(solution, net.layers[i - 1].pool))
        parts.append(codes)
    return Codes(tuple(join_codes(of_layer) for of_layer in zip(*parts, strict=True)), size)


def _solve(
    net: AdaptiveDeconvNet,
    layer: int,
    images: Tensor,
    below: Codes,
    geometries: Sequence[Geometry],
    solver: Solver,
    tol: float,
    max_iter: int,
    steps: int,
    *,
    watched: bool,
) -> Solution:
    own, geometry = net.layers[layer - 1], geometries[layer - 1]
    alone = layer == 1 or net.target == "below"
    painted = images if layer == 1 or net.target == "input" else below[layer - 1].pooled
    limits: dict[str, Any] = {"nonneg": own.nonneg, "tol": tol, "max_iter": max_iter}
    if alone and solver in ("auto", "dr", "fista"):
        taken = solver_of(solver, net.boundary, own.channels)
        return coded(painted, Problem(own.filters, own.lam, net.boundary, taken, watched=watched, **limits))
    if solver == "dr":
        raise ArgumentError("solver 'dr' is for a circular convolution; upper layers have switches below them.")
    linear = net.linear(layer, below, geometries, through=not alone)
    start = painted.new_zeros(len(images), own.maps, *geometry.maps)
    if solver == "ista":
        refreshed = (lambda z: z) if own.pool is None else lambda z: unpool(*pool(z, own.pool))
        return ista(painted, linear, own.lam, start, nonneg=own.nonneg, steps=steps, then=refreshed)
    if solver == "splitting":
        return splitting(painted, linear, own.lam, start, p=own.p)
    largest = 1.05 * largest_square(linear, start, 10)
    return fista(painted, linear, own.lam, start, largest=largest, watched=watched, **limits)


def checked_layer(net: AdaptiveDeconvNet, layer: object) -> int:
    """The layer, counted from 1; the last for None.

    Raises:
        ArgumentError: not a layer of this network.
    """
    if layer is None:
        return len(net.layers)
    index = as_index(layer)
    if index is None or not 1 <= index <= len(net.layers):
        raise ArgumentError(f"layers are numbered from 1 to {len(net.layers)}; got {short(layer)}.")
    return index


def _check_below(net: AdaptiveDeconvNet, layer: object, below: object, geometries: object, least: object = None) -> int:
    """The layer, counted from 1, with the codes of all layers below it and as many sizes.

    Args:
        net: the network.
        layer: as given.
        below: its codes.
        geometries: sizes, from the lowest layer.
        least: the layer itself where its own size is needed too.

    Raises:
        ArgumentError: no such layer, or codes or sizes are missing.
    """
    index = checked_layer(net, whole_number("layer", layer))
    sizes = as_list(geometries) or []
    codes = instance("below", below, Codes)
    if len(codes) < index - 1:
        raise ArgumentError(f"layer {index} needs the codes of {index - 1} layers below; got {len(codes)}.")
    if len(sizes) < index - (least is None) or not all(isinstance(size, Geometry) for size in sizes):
        raise ArgumentError(f"geometries are the sizes of {index} layers, as net.geometries gives; got {len(sizes)}.")
    return index


def checked_inference(solver: object, tol: object, max_iter: object, steps: object) -> dict[str, Any]:
    """The options of `AdaptiveDeconvNet.infer` by name, checked; raises ArgumentError."""
    if not is_one_of(solver, get_args(Solver)):
        raise ArgumentError(f"solver is one of {get_args(Solver)}; got {short(solver)}.")
    tol, max_iter = real_number("tol", tol, least=0), whole_number("max_iter", max_iter)
    return {"solver": solver, "tol": tol, "max_iter": max_iter, "steps": whole_number("steps", steps)}


def _check_layer(index: int, layer: DeconvLayer, images: Tensor, solver: Solver) -> None:
    """Raise unless the solver can infer the layer's maps from images of this type."""
    filters = layer.filters
    if filters.dtype != images.dtype or filters.device != images.device:
        raise ArgumentError(
            f"layer {index}: filters are {filters.dtype} on {filters.device}, and images {images.dtype} on "
            f"{images.device}: convert one of them, for example net.to(images)."
        )
    if layer.p < 1 and solver != "splitting":
        raise ArgumentError(f"layer {index}: p={layer.p:g} needs solver='splitting'; got {solver!r}.")
    if layer.nonneg and solver == "splitting":
        raise ArgumentError(f"layer {index}: solver 'splitting' cannot keep maps from being negative.")
