"""Deconvolutional networks that learn without labels (Zeiler et al. 2010 and 2011).

Names are looked up when they are first used, so that the import is quick.
"""

from importlib import import_module

_HOMES = {
    "AdaptiveDeconvNet": "net",
    "Codes": "net",
    "DeconvLayer": "layer",
    "Learned": "learned",
    "LayerCodes": "net",
    "LocalContrastNorm": "contrast",
    "Prepare": "photos",
    "Progress": "train",
    "Solution": "solution",
    "draw_filters": "draw",
    "draw_parts": "draw",
    "draw_reconstructions": "draw",
    "fit": "train",
    "learn_photos": "learned",
    "load_net": "checkpoint",
    "partial_fit": "train",
    "parts": "pixels",
    "pixel_filters": "pixels",
    "save_net": "checkpoint",
    "singles_and_doubles": "layer",
    "sparse_code": "infer",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
