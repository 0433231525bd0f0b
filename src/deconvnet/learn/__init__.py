"""Deconvolutional networks that learn without labels (Zeiler et al. 2010 and 2011).

Names are looked up when they are first used, so that the import is quick.
"""

from deconvnet._lazy import lazy

_HOMES = {
    "AdaptiveDeconvNet": "net",
    "Codes": "codes",
    "DeconvLayer": "layer",
    "Learned": "learned",
    "LayerCodes": "codes",
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
__getattr__, __dir__ = lazy(__name__, _HOMES)
