"""Networks of the zoo in the words of the paper's reference."""

from typing import Any

from reference import paper
from support.networks.parts import MAX_POOLS
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _paper_layer(module: nn.Module) -> paper.Layer:
    def numbers(parameter: Tensor | None) -> Any:
        return None if parameter is None else parameter.detach().numpy()

    if isinstance(module, CONVOLUTIONS):
        geometry = (module.stride, module.padding, module.dilation, module.groups)
        return paper.Convolution(numbers(module.weight), numbers(module.bias), *geometry)
    if isinstance(module, nn.ReLU):
        return paper.Rectifier()
    if isinstance(module, tuple(MAX_POOLS.values())):
        geometry = (module.kernel_size, module.stride, module.padding, module.dilation)
        return paper.MaxPool(*geometry, module.ceil_mode)
    if isinstance(module, nn.AvgPool2d):
        geometry = (module.kernel_size, module.stride, module.padding, module.ceil_mode)
        return paper.AveragePool(*geometry, module.count_include_pad)
    if isinstance(module, nn.LocalResponseNorm):
        return paper.ContrastNorm(module.size, module.alpha, module.beta, module.k)
    if isinstance(module, nn.Flatten):
        return paper.Flatten()
    if isinstance(module, nn.Linear):
        return paper.Linear(numbers(module.weight), numbers(module.bias))
    raise TypeError(module)


def paper_layers(model: nn.Sequential) -> list[paper.Layer]:
    """An `nn.Sequential` as the layers that `reference/paper.py` walks through."""
    return [_paper_layer(module) for module in model]
