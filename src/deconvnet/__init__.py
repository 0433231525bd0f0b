"""Zeiler and Fergus's deconvolutional network on any PyTorch convolutional network.

Names are looked up when they are first used, so that `import deconvnet` does not import torch.
What type checkers read is `__init__.pyi`.
"""

from deconvnet._lazy import lazy

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
        "ValueRangeError",
        "ValueRangeWarning",
    ),
    "_types": ("Box", "LayerInfo", "Unit"),
    "_version": ("__version__",),
    "atlas.build": ("build_atlas",),
    "atlas.jobs": ("merge_shards", "scan_shard"),
    "opening": ("open",),
    "photos.sets": ("open_photos",),
    "atlas.reader": ("Atlas",),
    "results.comparison": ("Comparison", "compare"),
    "results.steps": ("StepDown", "Steps"),
    "models.load": ("LoadedModel", "load_model"),
    "models.zfnet": ("zfnet", "zfnet_mini"),
    "network": ("DeconvNet",),
    "ways": ("costs", "watch_activations", "way_down"),
    "pictures.figure": ("Figure",),
    "pictures.plot": ("Plot",),
    "pictures.render": ("render",),
    "photos.photo": ("load_photo",),
    "photos.preprocess": ("Preprocess",),
    "results.reconstruction": ("Reconstruction",),
    "over_photos": ("responsible_maps",),
    "results.responsible": ("Responsible",),
    "results.responsible_maps": ("ResponsibleMaps",),
    "core.operations": ("OperationTable", "operations", "rule"),
    "core.rules": ("RuleSet",),
    "viewer.notebook": ("bench",),
    "viewer.report": ("Report", "report"),
    "viewer.site": ("Site", "write_site"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
