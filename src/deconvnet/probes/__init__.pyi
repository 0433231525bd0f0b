from deconvnet.probes.evidence import Evidence as Evidence
from deconvnet.probes.occlude import occlude as occlude
from deconvnet.probes.occluders import Occluders as Occluders
from deconvnet.probes.occlusion import Occlusion as Occlusion

__all__: list[str]
