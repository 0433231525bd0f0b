"""What a class loses without the units it rests on, and without others."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet import DeconvNet, Unit
from deconvnet.engine.responsible import ranked


def lost(model: nn.Module, layer: str, x: Tensor, classes: list[int], units: Sequence[Unit]) -> Tensor:
    """(n,) how much each image's class loses when units of a layer are zero."""

    def silence(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        output = output.clone()
        for unit in units:
            output[(unit.image, unit.channel, *unit.position)] = 0
        return output

    rows = range(len(x))
    with torch.no_grad():
        before = model(x)[rows, classes]
        handle = model.get_submodule(layer).register_forward_hook(silence)
        after = model(x)[rows, classes]
        handle.remove()
    return before - after


def random_units(layer: str, values: Tensor, k: int, seed: int = 0) -> list[Unit]:
    """k active units of each image."""
    random, units = torch.Generator().manual_seed(seed), []
    for image, maps_of_image in enumerate(values):
        active = (maps_of_image > 0).nonzero()
        chosen = active[torch.randperm(len(active), generator=random)[:k]].tolist()
        units += [Unit(layer, c, tuple(at), image) for c, *at in chosen]
    return units


def compared_with_chance(net: DeconvNet, x: Tensor, layer: str, k: int = 9) -> tuple[float, float, float]:
    """The share of images whose class loses more without its k units than without k others; means of the losses."""
    explained, values = net.explain(x, to=layer), net.activations(x, layer)[layer]
    classes = [unit.channel for unit in explained.units]
    ours = lost(net.model, layer, x, classes, ranked(layer, values, explained.full(), k).units)
    theirs = lost(net.model, layer, x, classes, random_units(layer, values, k))
    return (ours > theirs).double().mean().item(), ours.mean().item(), theirs.mean().item()
