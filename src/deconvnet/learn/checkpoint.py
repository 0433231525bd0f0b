"""Learned networks in files: safetensors, with the configuration that rebuilds the network."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from deconvnet._checks import file_path, instance, short
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
        batches: how many batches of the next epoch are done.
    """

    turn: int
    batches: int


def save_net(net: AdaptiveDeconvNet, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
    """Write a network, completely or not at all.

    Args:
        net: the network.
        path: a .safetensors file.
        about: what else to write down, as JSON.

    Raises:
        DeconvNetError: the disk refused.
    """
    instance("net", net, AdaptiveDeconvNet)
    path = file_path("path", path)
    if about is not None and not isinstance(about, Mapping):
        raise ArgumentError(f"about is a dictionary; got {short(about)}.")
    meta = {"format_version": FORMAT_VERSION, "deconvnet": __version__, "net": configuration(net), **(about or {})}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    try:
        text = json.dumps(meta)
    except (TypeError, ValueError) as fault:
        raise ArgumentError(f"about holds what JSON cannot: {fault}.") from fault
    data = save(tensors, {"learned": text})
    write_whole(path, lambda file: file.write(data))


def load_net(path: str | Path) -> AdaptiveDeconvNet:
    """The network that `save_net`, or a checkpoint of `fit`, wrote.

    Raises:
        DeconvNetError: the file does not exist, is damaged, or newer than this package.
    """
    path = file_path("path", path)
    meta, tensors = _read(path)
    try:
        built = meta["net"]
        layers = [
            DeconvLayer(**{**options, "pool": options["pool"] and tuple(options["pool"])}, generator=torch.Generator())
            for options in built["layers"]
        ]
        net = AdaptiveDeconvNet(layers, boundary=built["boundary"], target=built["target"])
        net.to(tensors["layers.0.filters"].dtype).load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError, ArgumentError) as fault:
        raise _damaged(path, fault) from fault
    return net


def about_net(path: str | Path) -> dict[str, Any]:
    """All metadata saved with a network.

    Raises:
        DeconvNetError: as `load_net`.
    """
    return _read(file_path("path", path))[0]


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
    meta, tensors = _read(path)
    changed = differences(meta.get("net", {}), configuration(net)) + differences(meta.get("options", {}), options)
    for name, wanted in net.state_dict().items():
        before = tensors.get(name)
        if name.endswith("connectivity") and before is not None and not torch.equal(before, wanted.cpu()):
            changed.append(f"another {name}")
    if changed:
        raise ArgumentError(f"{str(path)!r} was started with {'; '.join(changed)}. Use the same options or a new file.")
    try:
        net.load_state_dict(tensors)
        return Position(**meta["position"])
    except (KeyError, TypeError, RuntimeError) as fault:
        raise _damaged(path, fault) from fault


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The options in which a resumed run differs from how it was started, in words."""
    return [
        f"{name}={json.dumps(before.get(name))}, now {name}={json.dumps(value)}"
        for name, value in json.loads(json.dumps(dict(now))).items()
        if before.get(name) != value
    ]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    if not path.is_file():
        raise DeconvNetError(f"the file {str(path)!r} does not exist.")
    try:
        with safe_open(path, "pt") as file:
            meta: dict[str, Any] = dict(json.loads(file.metadata()["learned"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as fault:
        raise _damaged(path, fault) from fault
    if meta.get("format_version") != FORMAT_VERSION:
        raise DeconvNetError(
            f"{str(path)!r} has format_version {meta.get('format_version')}, but this deconvnet reads version "
            f"{FORMAT_VERSION}. Install the deconvnet that wrote it, or a newer one."
        )
    return meta, tensors


def _damaged(path: Path, fault: object) -> DeconvNetError:
    return DeconvNetError(f"{str(path)!r} is damaged, or holds no learned network: {fault}.")
