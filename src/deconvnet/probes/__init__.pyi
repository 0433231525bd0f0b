from deconvnet.probes.correspondence_table import Correspondence as Correspondence
from deconvnet.probes.correspondence_table import PartChanges as PartChanges
from deconvnet.probes.covered_parts import correspondence as correspondence
from deconvnet.probes.covered_positions import occlude as occlude
from deconvnet.probes.curves import Curve as Curve
from deconvnet.probes.diagnosis import Diagnosis as Diagnosis
from deconvnet.probes.effective_field import EffectiveField as EffectiveField
from deconvnet.probes.effective_field import EffectiveFields as EffectiveFields
from deconvnet.probes.effective_field import effective_fields as effective_fields
from deconvnet.probes.feature_distances import invariance as invariance
from deconvnet.probes.first_layer import diagnose as diagnose
from deconvnet.probes.invariance_curves import Invariance as Invariance
from deconvnet.probes.invariance_curves import Responses as Responses
from deconvnet.probes.measure import Measure as Measure
from deconvnet.probes.measure import Null as Null
from deconvnet.probes.occlusion import Occlusion as Occlusion
from deconvnet.probes.part_boxes import Part as Part
from deconvnet.probes.quick import quick_trust as quick_trust
from deconvnet.probes.quick_numbers import QuickTrust as QuickTrust
from deconvnet.probes.spectrum import Aliasing as Aliasing
from deconvnet.probes.transforms import Transforms as Transforms
from deconvnet.probes.trust_result import Trust as Trust
from deconvnet.probes.trusting import trust as trust
from deconvnet.probes.twin_cosines import Twins as Twins
from deconvnet.probes.twin_cosines import twins as twins

__all__: list[str]
