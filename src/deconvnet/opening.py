"""`open`: what deconvnet saved in a folder, whatever it is."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from deconvnet._checks import file_path
from deconvnet._errors import DeconvNetError
from deconvnet._files import is_file, is_folder
from deconvnet._folders import has_unfinished

_KINDS = {
    "Comparison": "results.comparison",
    "Correspondence": "probes.correspondence_table",
    "Diagnosis": "probes.diagnosis",
    "EffectiveFields": "probes.effective_field",
    "Invariance": "probes.invariance_curves",
    "Occlusion": "probes.occlusion",
    "QuickTrust": "probes.quick_numbers",
    "Reconstruction": "results.reconstruction",
    "Responsible": "results.responsible",
    "ResponsibleMaps": "results.responsible_maps",
    "Snapshot": "training.snapshots",
    "Snapshots": "training.snapshots",
    "Steps": "results.steps",
    "Trust": "probes.trust_result",
}
"""By name, the module of each class of results that can be saved."""


def open(folder: str | Path) -> Any:
    """What `save`, `build_atlas`, `learn_photos` or `training.Evolution` left in a folder.

    Returns:
        A `Reconstruction`, `Responsible`, `ResponsibleMaps`, `Steps` or `Comparison`, or the result of an experiment,
        such as a `probes.Diagnosis`, as it was when it was saved, with its tensors on the CPU; an `Atlas`, for which
        torch is not imported; a `learn.Learned`; or `training.Snapshots`. Older versions' folders are read too.

    Raises:
        DeconvNetError: the folder holds none of these, or one that is unfinished, damaged or newer than this package;
            for an atlas an `AtlasError`.

    Example:
        >>> from torch import nn, randn
        >>> import deconvnet
        >>> x = randn(1, 3, 16, 16)
        >>> net = deconvnet.DeconvNet(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU()), x)
        >>> folder = net.project(x, "1", channel=2).save("map2")
        >>> deconvnet.open(folder)
        <Reconstruction: 1 unit of layer '1' on 3x16x16, rules: deconvnet>
    """
    path = file_path("folder", folder)
    if not is_folder(path):
        what = f"is a file. Open its folder, {str(path.parent)!r}" if is_file(path) else "does not exist"
        raise DeconvNetError(f"{str(path)!r} {what}.")
    for name, read in _READERS.items():
        if is_file(path / name):
            return read(path)
    if has_unfinished(path):
        raise DeconvNetError(f"{str(path)!r} holds an unfinished run. Finish it first (--resume, resume=True).")
    raise DeconvNetError(
        f"{str(path)!r} holds nothing that deconvnet saved: {', '.join(_READERS)} are all missing. If saving was "
        "interrupted, save again."
    )


def _result(folder: Path) -> Any:
    from deconvnet.results.saved import read_result

    return read_result(folder, _class_of)


def _class_of(kind: str) -> Any:
    return getattr(import_module(f"deconvnet.{_KINDS[kind]}"), kind) if kind in _KINDS else None


def _atlas(folder: Path) -> Any:
    from deconvnet.atlas.reader import Atlas

    return Atlas.open(folder)


def _learned(folder: Path) -> Any:
    from deconvnet.learn.learned import Learned

    return Learned.open(folder)


def _snapshots(folder: Path) -> Any:
    from deconvnet.training.folder import read_snapshots

    return read_snapshots(folder)


_READERS: dict[str, Callable[[Path], Any]] = {
    "result.json": _result,
    "manifest.json": _atlas,
    "learned.safetensors": _learned,
    "evolution.json": _snapshots,
}
"""By the file that is written last, what reads the folder."""
