from deconvnet.probes.occlude import occlude as occlude
from deconvnet.probes.occlusion import Occlusion as Occlusion

__all__: list[str]
