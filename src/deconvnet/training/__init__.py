"""What helps while a network trains, after Zeiler and Fergus (2013).

Names are looked up when they are first used, so that the import is quick.
"""

from deconvnet._lazy import lazy

_MODULES = {
    "callbacks": ("EvolutionCallback", "RenormaliseCallback"),
    "convergence": ("Convergence",),
    "evolution": ("Evolution",),
    "layer_snapshot": ("LayerSnapshot",),
    "radius": ("renormalise",),
    "snapshots": ("Snapshot", "Snapshots"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
