"""Experiments that a deconvnet is used with, after Zeiler and Fergus (2013).

Names are looked up when they are first used, so that the import is quick.
"""

from deconvnet._lazy import lazy

_HOMES: dict[str, str] = {
    "Aliasing": "spectrum",
    "Correspondence": "correspondence_table",
    "Curve": "curves",
    "Diagnosis": "diagnosis",
    "EffectiveField": "effective_field",
    "EffectiveFields": "effective_field",
    "Invariance": "invariance_curves",
    "Measure": "measure",
    "Null": "measure",
    "Occlusion": "occlusion",
    "Part": "part_boxes",
    "PartChanges": "correspondence_table",
    "QuickTrust": "quick_numbers",
    "Responses": "invariance_curves",
    "Transforms": "transforms",
    "Trust": "trust_result",
    "Twins": "twin_cosines",
    "correspondence": "covered_parts",
    "diagnose": "first_layer",
    "effective_fields": "effective_field",
    "invariance": "feature_distances",
    "occlude": "covered_positions",
    "quick_trust": "quick",
    "trust": "trusting",
    "twins": "twin_cosines",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
