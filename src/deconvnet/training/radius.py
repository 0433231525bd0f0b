"""The paper's clipping of filters: no filter of a convolution dominates its layer."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from deconvnet._checks import did_you_mean, instance, real_number, short
from deconvnet._errors import ArgumentError, NotFiniteError
from deconvnet._stand_in import unwrapped


def renormalise(model: nn.Module, radius: float | Mapping[str, float] = 0.1) -> dict[str, int]:
    """How many filters of each convolution were above a fixed RMS and are now scaled to it (section 3 of the paper).

    Call it after every `optimizer.step()`. A filter is all weights that lead to one feature map, of grouped and of
    transposed convolutions too; its RMS is the root of the mean of their squares. Weights change in place, those of
    other filters not in a single bit. Fully connected layers and biases are left alone, frozen convolutions are not.

    The paper's radius of 0.1 belongs to inputs on the scale of 0 to 255 (with the mean taken off). On inputs that are
    s times as large, a first layer whose filters are 1/s times as large computes the same, so its radius is `radius/s`:
    25.5 for inputs of 0 to 1, and about 5.7 where these are then divided by a standard deviation of 0.22. Deeper
    layers see the same activations as before and keep the radius. Behind batch norm a filter's length does not change
    what the network computes, but still how fast the filter learns.

    Args:
        model: the network that trains; out of DataParallel, DistributedDataParallel and torch.compile.
        radius: the largest RMS, for all convolutions; or one for each that is named, and the others are left alone.

    Returns:
        By the name of each convolution that has a radius, the number of filters that were scaled.

    Raises:
        ArgumentError: a radius that is not above 0, or for what is not a convolution; no convolution; a weight that is
            computed from other parameters (weight norm, pruning), does not exist yet, or is flattened. Nothing is
            scaled then.
        NotFiniteError: a filter holds NaN or infinity. The others are scaled.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 7), nn.ReLU(), nn.Conv2d(8, 16, 5))
        >>> _ = nn.init.constant_(model[0].weight, 0.3)
        >>> renormalise(model)
        {'0': 8, '2': 0}
        >>> renormalise(model, {"0": 5.7, "2": 0.1})  # inputs of about zero mean and unit deviation
        {'0': 0, '2': 0}
    """
    model = unwrapped(instance("model", model, nn.Module))
    convolutions = _convolutions(model)
    radii = _radii(radius, convolutions)
    for name in radii:
        _check_weight(name, convolutions[name])
    scaled, faults = [], []
    with torch.no_grad():
        for name, largest in radii.items():
            above, fault = _scaled(convolutions[name], largest)
            scaled.append(above.sum().cpu())
            faults.append(torch.where(fault.any(), fault.int().argmax(), -1).cpu())
    for name, index in zip(radii, map(int, faults), strict=True):
        if index >= 0:
            raise NotFiniteError(
                f"filter {index} of layer {name!r} holds NaN or infinity: the training has diverged. Lower the "
                "learning rate, and go on from weights that were saved before."
            )
    return dict(zip(radii, map(int, scaled), strict=True))


def _convolutions(model: nn.Module) -> dict[str, _ConvNd]:
    """Every convolution by name.

    Raises:
        ArgumentError: there is none, or there may be some that cannot be seen.
    """
    convolutions = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ArgumentError(f"layer {name!r} is a ScriptModule, whose convolutions cannot be told. Give the model.")
        if isinstance(module, _ConvNd):
            convolutions[name] = module
    if not convolutions:
        raise ArgumentError(
            f"the model, a {type(model).__name__}, holds no convolution (torch.nn.Conv2d and the like)."
        )
    return convolutions


def _radii(radius: object, convolutions: Mapping[str, _ConvNd]) -> dict[str, float]:
    if not isinstance(radius, Mapping):
        return dict.fromkeys(convolutions, real_number("radius", radius, least=0, above=True))
    if not radius:
        raise ArgumentError("radius names no layer. Give a number for all convolutions, or one for each of some.")
    for name in radius:
        if name not in convolutions:
            near = did_you_mean(name, convolutions) if isinstance(name, str) else ""
            raise ArgumentError(f"radius: {short(name)} is not a convolution of the model.{near}")
    return {name: real_number(f"radius[{name!r}]", value, least=0, above=True) for name, value in radius.items()}


def _check_weight(name: str, module: _ConvNd) -> None:
    """Raise unless a convolution's weight can be scaled in place.

    Raises:
        ArgumentError: it cannot.
    """
    weight: Any = module._parameters.get("weight")
    if isinstance(weight, nn.UninitializedParameter):
        raise ArgumentError(f"layer {name!r} is lazy and its weights do not exist yet: run the model once first.")
    if weight is None:
        raise ArgumentError(
            f"layer {name!r} computes its weight from other parameters (weight norm, pruning and the like), so scaling "
            "would be lost. Name the other layers: radius={'layer': 0.1, ...}."
        )
    if weight.is_meta:
        raise ArgumentError(f"layer {name!r} is on the meta device and its weight holds no values. Load it first.")
    if weight.ndim != len(module.kernel_size) + 2:
        raise ArgumentError(
            f"layer {name!r} has a weight of shape {tuple(weight.shape)}, not whole filters. Where a strategy flattens "
            "weights (FSDP), call it inside summon_full_params."
        )
    if weight.is_inference():
        raise ArgumentError(f"the weight of layer {name!r} was made in inference mode and cannot be changed. Clone it.")


def _scaled(module: _ConvNd, radius: float) -> tuple[Tensor, Tensor]:
    """Scale the filters of a convolution; which of them were above the radius, and which are not finite."""
    weight = module.weight
    filters = _filters(module, weight)
    axes = tuple(range(2, filters.ndim))
    sizes = filters.abs().to(torch.promote_types(torch.float32, filters.real.dtype))
    largest = sizes.amax(axes, keepdim=True)
    unit = torch.where(largest > 0, largest, 1.0)  # so that no square overflows or vanishes
    rms = unit * (sizes / unit).square().mean(axes, keepdim=True).sqrt()
    above, finite = rms > radius, torch.isfinite(rms)
    scale = torch.where(above & finite, radius / rms, 1.0)
    wanted = _weight(module, torch.where(above & finite, filters * scale, filters)).to(weight.dtype)
    weight.copy_(_placed_as(weight, wanted))
    return _whole(above & finite).flatten(), ~_whole(finite).flatten()


def _filters(module: _ConvNd, weight: Tensor) -> Float[Tensor, "groups maps inputs *kernel"]:
    """A weight as the filters of the maps, of each group."""
    grouped = weight.reshape(module.groups, -1, *weight.shape[1:])
    return grouped.transpose(1, 2) if isinstance(module, _ConvTransposeNd) else grouped  # inputs stand first there


def _weight(module: _ConvNd, filters: Float[Tensor, "groups maps inputs *kernel"]) -> Tensor:
    """The reverse of `_filters`."""
    return (filters.transpose(1, 2) if isinstance(module, _ConvTransposeNd) else filters).flatten(0, 1)


def _placed_as(weight: Any, values: Any) -> Tensor:
    """The values, spread over processes as a weight is."""
    placements = getattr(weight, "placements", None)  # of a DTensor
    placed: Tensor = values if placements is None else values.redistribute(placements=placements)
    return placed


def _whole(values: Any) -> Tensor:
    """The values of all processes that they are spread over."""
    whole: Tensor = values.full_tensor() if hasattr(values, "full_tensor") else values
    return whole
