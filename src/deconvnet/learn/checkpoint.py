"""Learned networks in files: safetensors, with what it takes to build the network again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet._files import write_whole
from deconvnet._version import __version__
from deconvnet.learn.layer import DeconvLayer
from deconvnet.learn.net import AdaptiveDeconvNet

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Position:
    """How far training has come.

    Attributes:
        turn: epochs that are done, of all layers together.
        batches: that are done of the next one.
    """

    turn: int
    batches: int


def save_net(net: AdaptiveDeconvNet, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
    """Write a network, wholly or not at all.

    Args:
        net: the network.
        path: of the file, .safetensors.
        about: what else to remember, as JSON has it.

    Raises:
        DeconvNetError: the disk refused.
    """
    told = {"format_version": FORMAT_VERSION, "deconvnet": __version__, "net": configuration(net), **(about or {})}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    data = save(tensors, {"learned": json.dumps(told)})
    write_whole(Path(path), lambda file: file.write(data))


def load_net(path: str | Path) -> AdaptiveDeconvNet:
    """The network that `save_net`, or a checkpoint of `fit`, wrote.

    Raises:
        DeconvNetError: there is none, it is damaged, or newer than this package.
    """
    told, tensors = _read(Path(path))
    try:
        found = told["net"]
        layers = [
            DeconvLayer(**{**one, "pool": one["pool"] and tuple(one["pool"])}, generator=torch.Generator())
            for one in found["layers"]
        ]
        net = AdaptiveDeconvNet(layers, boundary=found["boundary"], target=found["target"])
        net.to(tensors["layers.0.filters"].dtype).load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError, ArgumentError) as fault:
        raise _damaged(Path(path), fault) from fault
    return net


def about_net(path: str | Path) -> dict[str, Any]:
    """What else was remembered with a network.

    Raises:
        DeconvNetError: as `load_net`.
    """
    return _read(Path(path))[0]


def configuration(net: AdaptiveDeconvNet) -> dict[str, Any]:
    """What a network is built from, without its filters."""
    names = ("channels", "maps", "kernel", "pool", "lam", "p", "nonneg")
    layers = [{name: getattr(layer, name) for name in names} for layer in net.layers]
    return {"layers": layers, "boundary": net.boundary, "target": net.target}


def save_checkpoint(path: Path, net: AdaptiveDeconvNet, options: Mapping[str, Any], position: Position) -> None:
    """Write a network in training and how far it has come."""
    save_net(net, path, {"options": options, "position": vars(position)})


def load_checkpoint(path: Path, net: AdaptiveDeconvNet, options: Mapping[str, Any]) -> Position:
    """How far training had come; the network gets the state that it had.

    Raises:
        ArgumentError: the checkpoint is of another network, or of other options.
        DeconvNetError: it is damaged.
    """
    told, tensors = _read(path)
    now = json.loads(json.dumps({"net": configuration(net), "options": dict(options)}))
    changed = [
        f"{name} {json.dumps(before)} and not {json.dumps(wanted)}"
        for part, values in now.items()
        for name, wanted in values.items()
        if (before := told.get(part, {}).get(name)) != wanted
    ]
    for name, wanted in net.state_dict().items():
        before = tensors.get(name)
        if name.endswith("connectivity") and before is not None and not torch.equal(before, wanted.cpu()):
            changed.append(f"another {name}")
    if changed:
        raise ArgumentError(f"{str(path)!r} was begun with {'; '.join(changed)}. Give the same, or another file.")
    try:
        net.load_state_dict(tensors)
        return Position(**told["position"])
    except (KeyError, TypeError, RuntimeError) as fault:
        raise _damaged(path, fault) from fault


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    if not path.is_file():
        raise DeconvNetError(f"there is no file {str(path)!r}.")
    try:
        with safe_open(path, "pt") as file:
            told: dict[str, Any] = dict(json.loads(file.metadata()["learned"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as fault:
        raise _damaged(path, fault) from fault
    if told.get("format_version") != FORMAT_VERSION:
        raise DeconvNetError(
            f"{str(path)!r} has format_version {told.get('format_version')}, and this is deconvnet for version "
            f"{FORMAT_VERSION}. Install the deconvnet that wrote it, or a newer one."
        )
    return told, tensors


def _damaged(path: Path, fault: object) -> DeconvNetError:
    return DeconvNetError(f"{str(path)!r} is damaged, or holds no learned network: {fault}.")
