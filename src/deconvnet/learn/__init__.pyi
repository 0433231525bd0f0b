from deconvnet.learn.checkpoint import load_net as load_net
from deconvnet.learn.checkpoint import save_net as save_net
from deconvnet.learn.codes import Codes as Codes
from deconvnet.learn.codes import LayerCodes as LayerCodes
from deconvnet.learn.contrast import LocalContrastNorm as LocalContrastNorm
from deconvnet.learn.draw import draw_filters as draw_filters
from deconvnet.learn.draw import draw_parts as draw_parts
from deconvnet.learn.draw import draw_reconstructions as draw_reconstructions
from deconvnet.learn.infer import sparse_code as sparse_code
from deconvnet.learn.layer import DeconvLayer as DeconvLayer
from deconvnet.learn.layer import singles_and_doubles as singles_and_doubles
from deconvnet.learn.learned import Learned as Learned
from deconvnet.learn.learned import learn_photos as learn_photos
from deconvnet.learn.net import AdaptiveDeconvNet as AdaptiveDeconvNet
from deconvnet.learn.photos import Prepare as Prepare
from deconvnet.learn.pixels import parts as parts
from deconvnet.learn.pixels import pixel_filters as pixel_filters
from deconvnet.learn.solution import Solution as Solution
from deconvnet.learn.train import Progress as Progress
from deconvnet.learn.train import fit as fit
from deconvnet.learn.train import partial_fit as partial_fit

__all__: list[str]
