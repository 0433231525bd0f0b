"""Zeiler and Fergus's deconvolutional network on any PyTorch convolutional network.

Names are looked up when they are first used, so that `import deconvnet` does not import torch.
What type checkers read is `__init__.pyi`.
"""

from importlib import import_module

_MODULES = {
    "_errors": (
        "ArgumentError",
        "AtlasError",
        "CaptureError",
        "DeconvNetError",
        "DeconvNetWarning",
        "LayerNotFoundError",
        "MemoryBudgetError",
        "ModelLoadError",
        "NotFiniteError",
        "PhotoError",
        "TargetError",
        "UnsupportedOperationError",
    ),
    "_types": ("Box", "LayerInfo", "Unit"),
    "_version": ("__version__",),
    "atlas.build": ("build_atlas",),
    "atlas.jobs": ("merge_shards", "scan_shard"),
    "photos.sets": ("open_photos",),
    "atlas.reader": ("Atlas",),
    "results.comparison": ("Comparison", "compare"),
    "results.steps": ("StepDown", "Steps"),
    "models.load": ("LoadedModel", "load_model"),
    "models.zfnet": ("zfnet", "zfnet_mini"),
    "network": ("DeconvNet",),
    "pictures.render": ("render",),
    "photos.photo": ("load_photo",),
    "photos.preprocess": ("Preprocess",),
    "results.reconstruction": ("Reconstruction",),
    "results.responsible": ("Responsible",),
    "core.rules": ("RuleSet", "rule"),
    "viewer.report": ("Report", "report"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
