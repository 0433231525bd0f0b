from deconvnet.probes.diagnosis import Diagnosis as Diagnosis
from deconvnet.probes.effective_field import EffectiveField as EffectiveField
from deconvnet.probes.effective_field import EffectiveFields as EffectiveFields
from deconvnet.probes.effective_field import effective_fields as effective_fields
from deconvnet.probes.first_layer import diagnose as diagnose
from deconvnet.probes.occlude import occlude as occlude
from deconvnet.probes.occlusion import Occlusion as Occlusion
from deconvnet.probes.spectrum import Aliasing as Aliasing

__all__: list[str]
