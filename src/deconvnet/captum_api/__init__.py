"""Captum's names and signatures for what this library does: a script changes one import.

Names are looked up when they are first used, so that the import is quick. Captum itself is not needed.
"""

from deconvnet._lazy import lazy

_MODULES = {
    "classes": ("Deconvolution", "GuidedBackprop"),
    "covering": ("Occlusion",),
    "units": ("NeuronDeconvolution", "NeuronGuidedBackprop"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
