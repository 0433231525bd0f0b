from deconvnet.probes.curves import Curve as Curve
from deconvnet.probes.feature_distances import invariance as invariance
from deconvnet.probes.invariance_curves import Invariance as Invariance
from deconvnet.probes.invariance_curves import Responses as Responses
from deconvnet.probes.transforms import Transforms as Transforms

__all__: list[str]
