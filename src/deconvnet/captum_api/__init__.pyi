from deconvnet.captum_api.classes import Deconvolution as Deconvolution
from deconvnet.captum_api.classes import GuidedBackprop as GuidedBackprop
from deconvnet.captum_api.covering import Occlusion as Occlusion
from deconvnet.captum_api.units import NeuronDeconvolution as NeuronDeconvolution
from deconvnet.captum_api.units import NeuronGuidedBackprop as NeuronGuidedBackprop

__all__: list[str]
