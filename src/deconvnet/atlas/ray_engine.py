"""A scan on Ray Data: the same bytes as in the loop on one machine.

indices of batches ─► tasks: photos read ─► N actors: the network run ─► here: added, in order, each once

What comes back of a batch is what was measured of its photos, never a sum over several: Ray may run a batch again,
and whatever a killed actor held is lost, without any photo being counted twice or not at all.
"""

import copy
import json
import logging
import math
import os
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors.numpy import load, save
from torch import Tensor

from deconvnet import _errors
from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet.atlas.options import Build
from deconvnet.atlas.scan import Measures, Scan
from deconvnet.engine.attachment import Attachment
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet, attached
from deconvnet.photos.batches import Job, Skipped, inputs_in_slots
from deconvnet.photos.values import Extent, Extents

_CPUS = 0.5  # of a task or an actor
_CONNECT_SECONDS = 10  # Ray itself would try for minutes
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on 127.0.0.1 alone; on Linux too
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}

_Row: TypeAlias = dict[str, Any]


def scan_on_ray(scan: Scan, build: Build, job: Job) -> Generator[Skipped, None, None]:
    """Add the batches of a job to a scan, in order, and yield of each the photos that could not be read.

    Args:
        scan: grows.
        build: what is built. Its workers are actors that run the network; 0 is one. Without an address of a cluster
            it is the one in use, that of RAY_ADDRESS, or one that is started here.
        job: what is read.

    Raises:
        ArgumentError: Ray is not installed, the address leads nowhere, or the network cannot be sent.
        NotFiniteError: a layer gives NaN or infinity.
        DeconvNetError: Ray gave up.
    """
    if not len(job):
        return
    loaded, extents = build.loaded, Extents()
    with _ray(build.ray_address) as ray:
        sent = _packed(ray, loaded, build.attached, scan)
        for batch, row in enumerate(_rows(ray, job, sent, max(build.workers, 1), loaded.device.type == "cuda")):
            if row["batch"] != batch:
                raise DeconvNetError(f"Ray returned batch {row['batch']} where batch {batch} was due.")
            report = json.loads(row["report"])
            if "fault" in report:
                raise _raised(*report["fault"])
            scan.take(_unpacked(row["measures"]), report["indices"])
            scan.digests.add(report["indices"], report["digests"])
            extents.add(Extent(**extent) for extent in report["extents"])
            yield tuple((index, reason) for index, reason in report["skipped"])
    extents.warn()


@contextmanager
def _ray(address: str | None) -> Iterator[Any]:
    """Ray, connected to or started, and left as it was before."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if before[name] is None})
    try:
        ray = _imported()
        logger = logging.getLogger("ray.data")
        level, ours = logger.level, address is not None or not ray.is_initialized()
        logger.setLevel(logging.CRITICAL)
        if ours:
            _start(ray, address or os.environ.get("RAY_ADDRESS", "local"))
    finally:
        for name in (name for name, value in before.items() if value is None):
            os.environ.pop(name, None)
    try:
        yield ray
    finally:
        logger.setLevel(level)
        if ours:
            ray.shutdown()


def _imported() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as fault:
        raise ArgumentError(
            f"engine='ray' needs Ray Data ({fault}): install it with pip install 'deconvnet[ray]'."
        ) from fault
    return ray


def _start(ray: Any, address: str) -> None:
    alone = {"include_dashboard": False} if address == "local" else {}
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdecimal():
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **alone)
    except Exception as fault:
        raise ArgumentError(
            f"cannot use Ray at {address!r}: {_in_a_line(fault)} Give host:port of its head node, or no address to "
            "start Ray here."
        ) from fault


def _rows(ray: Any, job: Job, sent: bytes, workers: int, on_gpus: bool) -> Iterator[_Row]:
    """What the actors report of the batches, in order."""
    cpus = max(ray.cluster_resources().get("CPU", 0), 1)
    share = min(_CPUS, math.floor(cpus / 2 / workers * 1e4) / 1e4)  # half of all is left for reading
    try:
        items = [{"batch": batch} for batch in range(len(job))]
        data = ray.data.from_items(items, override_num_blocks=len(job))
        data.context.execution_options.preserve_order = True
        data.context.enable_progress_bars = False
        pool = ray.data.ActorPoolStrategy(size=workers)
        read = data.map(_read, fn_args=(job,), num_cpus=_CPUS)
        ran = read.map(_Worker, fn_constructor_args=(sent,), compute=pool, num_cpus=share, num_gpus=int(on_gpus))
        yield from ran.iter_rows()
    except Exception as fault:
        raise DeconvNetError(f"Ray gave up: {_in_a_line(fault)}") from fault


def _packed(ray: Any, loaded: LoadedModel, attached: Attachment, scan: Scan) -> bytes:
    """All that an actor needs, with the network's weights on the CPU: another machine numbers its GPUs otherwise."""
    cuda = loaded.device.type == "cuda"
    model = copy.deepcopy(loaded.model).cpu() if cuda else loaded.model
    try:
        packed: bytes = ray.cloudpickle.dumps((replace(loaded, model=model), attached.rules, attached.arithmetic, scan))
    except Exception as fault:  # whatever the parts of a network raise when they are pickled
        raise ArgumentError(
            f"the network {loaded.spec!r} cannot be sent to Ray's processes: {_in_a_line(fault)} Use engine='local'."
        ) from fault
    return packed


def _read(row: _Row, job: Job) -> _Row:
    """In a task: the photos of a batch."""
    try:
        read, levels = job.read(row["batch"])
    except Exception as fault:
        return {**row, "levels": b"", "report": _fault(fault)}
    report = {**asdict(read), "dtype": levels.dtype.name, "shape": levels.shape}
    return {**row, "levels": levels.tobytes(), "report": json.dumps(report)}


class _Worker:
    """In an actor: runs batches, and reports what is measured in each.

    Args:
        sent: from `_packed`.
    """

    def __init__(self, sent: bytes) -> None:
        self._sent = sent
        self._ready: tuple[LoadedModel, Attachment, Scan] | None = None

    def __call__(self, row: _Row) -> _Row:
        text, measures = row["report"], b""
        try:
            if "fault" not in (report := json.loads(text)):
                levels = np.frombuffer(row["levels"], report["dtype"]).reshape(report["shape"])
                measures = self._measures(torch.from_numpy(levels.copy()), report["slots"], report["indices"])
        except Exception as fault:
            text = _fault(fault)
        return {"batch": row["batch"], "report": text, "measures": measures}

    def _measures(self, levels: Tensor, slots: Sequence[int], photos: Sequence[int]) -> bytes:
        self._ready = self._ready or _received(self._sent)
        loaded, network, scan = self._ready
        like = loaded.example_input
        x = inputs_in_slots(loaded.preprocess, levels.to(like.device), slots).to(like)
        measures = scan.look(network, x, slots, photos)
        scan.take(measures, photos)  # so that ever fewer positions are looked up
        return save({name: np.ascontiguousarray(tensor.numpy(force=True)) for name, tensor in measures.items()})


def _received(sent: bytes) -> tuple[LoadedModel, Attachment, Scan]:
    from ray import cloudpickle

    loaded, rules, arithmetic, scan = cloudpickle.loads(sent)
    loaded = replace(loaded, model=loaded.model.to(loaded.device.type), device=torch.device(loaded.device.type))
    net = DeconvNet(loaded.model, loaded.example_input, rules=rules, **asdict(arithmetic))
    return loaded, attached(net), scan


def _unpacked(packed: bytes) -> Measures:
    return {name: torch.from_numpy(array) for name, array in load(packed).items()}


def _fault(fault: Exception) -> str:
    return json.dumps({"fault": [type(fault).__name__, str(fault)]})


def _raised(kind: str, words: str) -> DeconvNetError:
    """What a task or an actor raised."""
    ours = getattr(_errors, kind, None)
    if isinstance(ours, type) and issubclass(ours, DeconvNetError):
        return ours(words)
    return DeconvNetError(f"a process of Ray's failed: {kind}: {words}")


def _in_a_line(fault: BaseException) -> str:
    """What it says in a line: Ray puts the stack first, but what it cannot pickle before its advice."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()] or ["no reason given"]
    line = lines[0] if isinstance(fault, TypeError) else lines[-1]
    return f"{type(fault).__name__}: {line.rstrip('.:')}."
