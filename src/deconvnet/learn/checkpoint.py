"""Learned networks in files: safetensors, with the configuration that rebuilds the network."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from msgspec import Meta
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from deconvnet._arrays import digest_of_arrays, tensor_content
from deconvnet._checks import file_path, instance, printable, short
from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet._files import damaged, decode_json, is_file, write_whole
from deconvnet._folders import differences
from deconvnet._version import __version__
from deconvnet.learn.convolve import Boundary
from deconvnet.learn.layer import DeconvLayer
from deconvnet.learn.net import AdaptiveDeconvNet, Target

FORMAT_VERSION = 1
REMEDY = "Give what deconvnet.learn wrote, or learn again."

_Count = Annotated[int, Meta(ge=0, lt=2**53)]
_Length = Annotated[int, Meta(ge=1, lt=2**31)]


@dataclass(frozen=True)
class Position:
    """How far training has come.

    Attributes:
        turn: epochs that are done, of all layers together.
        batches: how many batches of the next epoch are done.
    """

    turn: _Count
    batches: _Count


class _Layer(msgspec.Struct, forbid_unknown_fields=True):
    """What a layer is built from, as `DeconvLayer` takes it."""

    channels: _Length
    maps: _Length
    kernel: _Length
    pool: tuple[_Length, _Length, _Length] | None
    lam: float
    p: float
    nonneg: bool

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its tensors, by name."""
        pooled, positions = self.maps, 1
        if self.pool is not None:
            pooled, positions = -(-self.maps // self.pool[2]), self.pool[0] * self.pool[1] * self.pool[2]
        return {
            "filters": (self.maps, self.channels, self.kernel, self.kernel), "connectivity": (self.maps, self.channels),
            "energy": (self.maps,), "updates": (), "usual": (pooled, positions),
        }  # fmt: skip


class _Net(msgspec.Struct):
    """What a network is built from."""

    layers: Annotated[tuple[_Layer, ...], Meta(min_length=1)]
    boundary: Boundary
    target: Target


class _Saved(msgspec.Struct):
    """What a file says of the network in it; files of versions before 0.2 have no digest."""

    deconvnet: str
    net: _Net
    options: dict[str, Any] = {}
    position: Position | None = None
    digest: str | None = None


_RESERVED = frozenset(field.name for field in msgspec.structs.fields(_Saved)) | {"format_version"}


class _Head(msgspec.Struct):
    """What files of all versions begin with."""

    format_version: int


def save_net(net: AdaptiveDeconvNet, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
    """Write a network, completely or not at all.

    Args:
        net: the network.
        path: a .safetensors file.
        about: what else to write down, as JSON.

    Raises:
        ArgumentError: `about` holds what JSON cannot, or a name that the file has for itself; or the network holds NaN
            or infinity.
        DeconvNetError: the disk refused.
    """
    if about is not None and not isinstance(about, Mapping):
        raise ArgumentError(f"about is a dictionary; got {short(about)}.")
    reserved = sorted(_RESERVED & {*(about or {})})
    if reserved:
        raise ArgumentError(f"about has {reserved[0]!r}, which the file has for itself. Use another name.")
    write_net(instance("net", net, AdaptiveDeconvNet), file_path("path", path), about or {})


def write_net(net: AdaptiveDeconvNet, path: Path, about: Mapping[str, Any]) -> None:
    """Write a network with metadata, in which also names that the file has for itself may stand.

    Raises:
        ArgumentError, DeconvNetError: as `save_net`.
    """
    meta = {"format_version": FORMAT_VERSION, "deconvnet": __version__, "net": configuration(net), **about}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    try:
        meta = json.loads(json.dumps(printable(meta), allow_nan=False))  # as it will be read
        text = json.dumps(meta)  # the digest stands in it, and last: safetensors does not keep the order of several
        saved = decode_json(text, _Saved)
    except (TypeError, ValueError, RecursionError) as fault:
        raise ArgumentError(f"about holds what JSON cannot: {fault}.") from fault
    try:
        _check(saved, tensors)
    except ValueError as fault:
        raise ArgumentError(f"the network cannot be saved: {fault}.") from fault
    data = save(tensors, {"learned": json.dumps({**meta, "digest": _digest(text, tensors)})})
    write_whole(path, lambda file: file.write(data))


def load_net(path: str | Path) -> AdaptiveDeconvNet:
    """The network that `save_net`, or a checkpoint of `fit`, wrote.

    Raises:
        DeconvNetError: the file does not exist, is damaged, or newer than this package.
    """
    path = file_path("path", path)
    saved, _, tensors = _read(path)
    try:
        layers = [
            DeconvLayer(**msgspec.structs.asdict(layer), generator=torch.Generator()) for layer in saved.net.layers
        ]
        net = AdaptiveDeconvNet(layers, boundary=saved.net.boundary, target=saved.net.target)
        net.to(tensors["layers.0.filters"].dtype).load_state_dict(tensors)
    except (TypeError, RuntimeError, ArgumentError) as fault:
        raise damaged(path, fault, REMEDY) from fault
    return net


def about_net(path: str | Path) -> dict[str, Any]:
    """All metadata saved with a network.

    Raises:
        DeconvNetError: as `load_net`.
    """
    return _read(file_path("path", path))[1]


def configuration(net: AdaptiveDeconvNet) -> dict[str, Any]:
    """What a network is built from, without its filters."""
    names = ("channels", "maps", "kernel", "pool", "lam", "p", "nonneg")
    layers = [{name: getattr(layer, name) for name in names} for layer in net.layers]
    return {"layers": layers, "boundary": net.boundary, "target": net.target}


def save_checkpoint(
    path: Path, net: AdaptiveDeconvNet, options: Mapping[str, Any], position: Position, about: Mapping[str, Any]
) -> None:
    """Write a network in training and how far it has come.

    Args:
        path: of the file.
        net: the network.
        options: of `fit`.
        position: how far.
        about: what else to write down, as JSON.
    """
    write_net(net, path, {"options": options, "position": vars(position), **about})


def load_checkpoint(
    path: Path, net: AdaptiveDeconvNet, options: Mapping[str, Any], about: Mapping[str, Any]
) -> Position:
    """How far training has come; the network gets the state that it had then.

    Args:
        path: of the file.
        net: changed in place.
        options, about: as in `save_checkpoint`; they have to be the same.

    Raises:
        ArgumentError: the checkpoint is of another network, or was written with other options.
        DeconvNetError: it is damaged.
    """
    saved, meta, tensors = _read(path)
    changed = differences(meta["net"], configuration(net)) + differences(saved.options, options)
    changed += differences({name: meta.get(name) for name in about}, about)
    for name, wanted in net.state_dict().items():
        before = tensors.get(name)
        if name.endswith("connectivity") and before is not None and not torch.equal(before, wanted.cpu()):
            changed.append(f"another {name}")
    if changed:
        raise ArgumentError(f"{str(path)!r} was started with {'; '.join(changed)}. Use the same options or a new file.")
    if saved.position is None:
        raise damaged(path, "it does not say how far training has come", REMEDY)
    try:
        net.load_state_dict(tensors)
    except RuntimeError as fault:
        raise damaged(path, fault, REMEDY) from fault
    return saved.position


def _read(path: Path) -> tuple[_Saved, dict[str, Any], dict[str, torch.Tensor]]:
    """What a file says of the network in it, checked and as it stands there, and the network's tensors."""
    if not is_file(path):
        raise DeconvNetError(f"the file {str(path)!r} does not exist.")
    try:
        with safe_open(path, "pt") as file:
            text = file.metadata()["learned"]
            version = decode_json(text, _Head).format_version
            if version != FORMAT_VERSION:
                raise DeconvNetError(
                    f"{str(path)!r} has format_version {version}, but this deconvnet reads version {FORMAT_VERSION}. "
                    "Install the deconvnet that wrote it, or a newer one."
                )
            saved = decode_json(text, _Saved)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        meta: dict[str, Any] = json.loads(text)
        _check(saved, tensors)
        before = meta.pop("digest", None)
        if before is not None and before != _digest(json.dumps(meta), tensors):
            raise ValueError("it does not hold what was written")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as fault:
        raise damaged(path, fault, REMEDY) from fault
    return saved, meta, tensors


def _check(saved: _Saved, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError unless these are the tensors of the network, before one of its size is made."""
    layers = enumerate(saved.net.layers)
    shapes = {f"layers.{i}.{name}": shape for i, layer in layers for name, shape in layer.shapes().items()}
    if shapes.keys() != tensors.keys():
        raise ValueError(f"it holds {', '.join(sorted(tensors)) or 'nothing'} instead of {', '.join(sorted(shapes))}")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != shapes[name]:
            raise ValueError(f"{name} is {tuple(tensor.shape)} instead of {shapes[name]}")
        kind = name.rpartition(".")[2]
        if kind in ("filters", "energy"):
            right = tensor.is_floating_point()
        else:
            right = tensor.dtype == (torch.bool if kind == "connectivity" else torch.long)
        if not right:
            raise ValueError(f"{name} is {tensor.dtype}")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} holds NaN or infinity")
        if kind != "filters" and (tensor < 0).any():
            raise ValueError(f"{name} holds numbers below zero")


def _digest(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    return digest_of_arrays(text, tensors, tensor_content)
