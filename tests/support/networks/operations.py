"""A network for every operation: the smallest that captures a step of the kind, one line of ordinary PyTorch each.

The zoo meets most operations in networks that are worth looking at; the rest is met here: a convolution, the
operation, and a linear head, so that whatever the operation makes ends in class scores.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
LINE, MAPS, VOLUME = (3, 12), (3, 12, 12), (3, 8, 8, 8)
CHANNELS = 4


class Around(nn.Module):
    """A convolution, an operation on its maps, and scores of all that comes out."""

    def __init__(self, spelled: Callable[[Tensor], Tensor], size: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = CONVOLUTIONS[len(size) - 1](size[0], CHANNELS, 3)
        self.spelled = spelled
        self.double()
        self.head = nn.Linear(self.maps(torch.zeros(2, *size).double()).shape[1], 3).double()

    def maps(self, x: Tensor) -> Tensor:
        """What the operation makes, in a row for each image."""
        return self.spelled(self.conv(x)).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x))


@dataclass(frozen=True)
class OperationNetwork:
    """A network that meets one operation.

    Attributes:
        operation: the name of the step that it must have once captured.
        spelled: the operation in ordinary PyTorch, on (n, 4, *spatial) maps.
        size: of one input image, (c, *spatial).
        linear: apart from biases, the whole network is linear.
        smooth: it is refused unless smooth="gradient" is asked for.
        batch: how many images it is given at once; 1 where it would mix several.
    """

    operation: str
    spelled: Callable[[Tensor], Tensor]
    size: tuple[int, ...] = MAPS
    linear: bool = False
    smooth: bool = True
    batch: int = 2

    def make(self) -> nn.Module:
        """The model in eval, float64, always with the same weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(self.operation.encode()))
            return Around(self.spelled, self.size).eval()

    def images(self, batches: int = 1) -> Tensor:
        """One batch or several in one tensor, float64."""
        random = torch.Generator().manual_seed(zlib.crc32(self.operation.encode()))
        return torch.randn(batches * self.batch, *self.size, generator=random, dtype=torch.float64)


def weights(*shape: int) -> Tensor:
    return torch.linspace(-1, 1, math.prod(shape), dtype=torch.float64).view(shape)


def ones(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.float64)


OPERATIONS: dict[str, OperationNetwork] = {}


def _linear(operation: str, spelled: Callable[[Tensor], Tensor], size: tuple[int, ...] = MAPS) -> None:
    OPERATIONS[operation] = OperationNetwork(operation, spelled, size, linear=True, smooth=False)


def _bent(operation: str, spelled: Callable[[Tensor], Tensor], size: tuple[int, ...] = MAPS) -> None:
    """Not linear, but with a rule of its own."""
    OPERATIONS[operation] = OperationNetwork(operation, spelled, size, smooth=False)


def _smooth(operation: str, spelled: Callable[[Tensor], Tensor], size: tuple[int, ...] = MAPS) -> None:
    OPERATIONS[operation] = OperationNetwork(operation, spelled, size)


def one_and_zero(x: Tensor) -> Tensor:
    return torch.tensor([1, 0]).view(1, 2, 1, 1).expand(len(x), 2, *x.shape[2:])


def put(x: Tensor) -> Tensor:
    x[:, [1, 2]] = x[:, [0, 3]]
    return x


# moving values about --------------------------------------------------------------------------------

_linear("aten.alias", lambda x: x[...])
_linear("aten.detach", lambda x: x.detach() + x)
_linear("aten.t", lambda x: x.flatten(1).t().t())
_linear("aten.diagonal", lambda x: x.diagonal(dim1=2, dim2=3))
_linear("aten.rot90", lambda x: x.rot90(1, (2, 3)))
_linear("aten.tril", lambda x: x.tril())
_linear("aten.triu", lambda x: x.triu())
_linear("aten.select_scatter", lambda x: torch.select_scatter(x, x[:, 0], 1, 1))
_linear("aten.slice_scatter", lambda x: torch.slice_scatter(x, x[:, :2], 1, 2, 4))
_linear("aten.unfold", lambda x: x.unfold(2, 3, 2))
_linear("aten.im2col", lambda x: F.unfold(x, 3))
_linear("aten.col2im", lambda x: F.fold(F.unfold(x, 3), (10, 10), 3))
_linear("aten.cumsum", lambda x: x.cumsum(2))
_linear("aten.diff", lambda x: x.diff(n=2, dim=3))
_linear("aten.trapezoid", lambda x: torch.trapezoid(x, dim=2))
_linear("aten.index_add", lambda x: torch.index_add(x, 1, torch.tensor([0, 2]), x[:, :2].flip(2), alpha=2))
_linear("aten.index_copy", lambda x: torch.index_copy(x, 1, torch.tensor([0, 2]), x[:, :2]))
_linear("aten.index_fill", lambda x: x.index_fill(1, torch.tensor([1]), 0.0))
_linear("aten.index_put", lambda x: put(x.clone()))
_linear("aten.scatter", lambda x: torch.zeros_like(x).scatter(1, one_and_zero(x), x[:, :2]))
_linear("aten.scatter_add", lambda x: x.scatter_add(1, one_and_zero(x), x[:, :2]))
_linear("aten.take_along_dim", lambda x: torch.take_along_dim(x, torch.tensor([1, 0]).view(1, 2, 1, 1), 1))
_smooth("aten.gather", lambda x: x.gather(1, x.argmax(1, keepdim=True)))
_linear("aten._to_copy", lambda x: x.float().double())
_linear("aten.type_as", lambda x: x.float().type_as(x))

# borders and sizes ----------------------------------------------------------------------------------

_linear("aten.upsample_nearest1d", lambda x: F.interpolate(x, scale_factor=2), LINE)
_linear("aten._upsample_nearest_exact1d", lambda x: F.interpolate(x, size=13, mode="nearest-exact"), LINE)
_linear("aten._upsample_nearest_exact2d", lambda x: F.interpolate(x, size=(7, 13), mode="nearest-exact"))
_linear("aten._upsample_nearest_exact3d", lambda x: F.interpolate(x, size=(5, 6, 7), mode="nearest-exact"), VOLUME)
_linear("aten._upsample_bilinear2d_aa", lambda x: F.interpolate(x, size=(7, 7), mode="bilinear", antialias=True))
_linear("aten._upsample_bicubic2d_aa", lambda x: F.interpolate(x, size=(7, 7), mode="bicubic", antialias=True))

# pooling --------------------------------------------------------------------------------------------

_linear("aten.adaptive_avg_pool1d", lambda x: F.adaptive_avg_pool1d(x, 4), LINE)
_linear("aten.adaptive_avg_pool3d", lambda x: F.adaptive_avg_pool3d(x, 4), VOLUME)
_bent("aten.adaptive_max_pool3d", lambda x: F.adaptive_max_pool3d(x, 4), VOLUME)
_bent("aten.max", lambda x: x.max(1)[0])
_bent("aten.min", lambda x: x.min(1)[0])
_bent("aten.amin", lambda x: x.amin((2, 3)))
_bent("largest_of_maps", lambda x: torch.maximum(x, x.flip(1)))
_bent("smallest_of_maps", lambda x: torch.minimum(x, x.flip(1)))
_bent("aten.max_unpool2d", lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2))
_bent("aten.max_unpool3d", lambda x: F.max_unpool3d(*F.max_pool3d(x, 2, return_indices=True), 2), VOLUME)

# grids that do not depend on the input


def grid(x: Tensor, axes: int = 2) -> Tensor:
    """Positions all over the map and beyond it, between its pixels."""
    positions = 1.2 * torch.arange(5**axes * axes, dtype=x.dtype).sin()
    return positions.view(1, *[5] * axes, axes).expand(len(x), *[-1] * (axes + 1))


_linear("aten.grid_sampler", lambda x: F.grid_sample(x, grid(x), align_corners=False))

# frequencies ----------------------------------------------------------------------------------------


# products -------------------------------------------------------------------------------------------

_linear("aten.mm", lambda x: torch.mm(x.flatten(1), torch.linspace(-1, 1, 800, dtype=x.dtype).view(400, 2)))
_smooth("aten.bmm", lambda x: torch.bmm(x.flatten(2), x.flatten(2).mT))
_smooth("aten.baddbmm", lambda x: torch.baddbmm(x[:, :, 0, :4], x.flatten(2), x.flatten(2).mT))
_linear("aten.tensordot", lambda x: torch.tensordot(x, weights(4, 2), dims=([1], [0])))
_linear("aten.kron", lambda x: torch.kron(x, weights(1, 1, 2, 2)))
_linear(
    "aten.linalg_cross", lambda x: torch.linalg.cross(x[:, :3], weights(1, 3, 1, 1).expand(len(x), 3, 10, 10), dim=1)
)
_linear("aten.lerp", lambda x: torch.lerp(x, x.flip(2), weights(10, 10)))
_linear("aten.addcdiv", lambda x: torch.addcdiv(x, x.flip(1), weights(10, 10) + 3, value=0.5))
_linear("aten.where", lambda x: torch.where(torch.eye(10).bool(), x, x.flip(1)))
_linear("aten.masked_fill", lambda x: x.masked_fill(torch.eye(10).bool(), 0.0))

# activations ----------------------------------------------------------------------------------------

_smooth("activation", lambda x: x * x.sigmoid())
_smooth("aten.celu", F.celu)
_smooth("aten.selu", F.selu)
_smooth("aten.mish", F.mish)
_smooth("aten.softplus", F.softplus)
_smooth("aten.rrelu", F.rrelu)
_smooth("aten.log_sigmoid", F.logsigmoid)
_smooth("aten.hardtanh", F.hardtanh)
_smooth("aten.clamp", lambda x: x.clamp(-0.5, 0.5))
_smooth("aten.clamp_min", lambda x: x.clamp_min(-0.5))
_smooth("aten.clamp_max", lambda x: x.clamp_max(0.5))
_smooth("aten.threshold", lambda x: F.threshold(x, 0.1, 20.0))

# smooth functions of each value ---------------------------------------------------------------------

_smooth("aten.abs", torch.abs)
_smooth("aten.exp", torch.exp)
_smooth("aten.expm1", torch.expm1)
_smooth("aten.log", lambda x: (x.abs() + 1).log())
_smooth("aten.log1p", lambda x: x.abs().log1p())
_smooth("aten.reciprocal", lambda x: (x.abs() + 1).reciprocal())
_smooth("aten.rsqrt", lambda x: (x.abs() + 1).rsqrt())
_smooth("aten.square", torch.square)
_smooth("aten.sin", torch.sin)
_smooth("aten.cos", torch.cos)
_smooth("aten.erf", torch.erf)
_smooth("aten.maximum", lambda x: torch.maximum(x, weights(10)))
_smooth("aten.minimum", lambda x: torch.minimum(x, weights(10)))
_smooth("aten.fmax", lambda x: torch.fmax(x, weights(10)))
_smooth("aten.fmin", lambda x: torch.fmin(x, weights(10)))

# normalisation and sums over several values ---------------------------------------------------------

_smooth("aten.instance_norm", F.instance_norm)
_smooth("aten.rms_norm", lambda x: F.rms_norm(x, (10,)))
_smooth("aten.prod", lambda x: x.prod(1))
_smooth("aten.logsumexp", lambda x: x.logsumexp((2, 3)))
_smooth("aten.std", lambda x: x.std((2, 3)))
_smooth("aten.var", lambda x: x.var((2, 3)))
_smooth("aten.var_mean", lambda x: torch.var_mean(x, (2, 3))[0])
_smooth("aten.linalg_vector_norm", lambda x: F.normalize(x))
_smooth("aten.cosine_similarity", lambda x: F.cosine_similarity(x, x.flip(2)))
_smooth("aten.cdist", lambda x: torch.cdist(x.flatten(2), x.flatten(2).flip(1) + 1))

# what takes the batch as one, which is one image here

OPERATIONS["aten.masked_scatter"] = OperationNetwork(
    "aten.masked_scatter",
    lambda x: x.masked_scatter(torch.eye(10).bool(), x.flip(1)),
    linear=True,
    smooth=False,
    batch=1,
)

OPERATIONS["aten._native_batch_norm_legit"] = OperationNetwork(
    "aten._native_batch_norm_legit", lambda x: F.batch_norm(x, None, None, training=True), batch=1
)

# other names of the same, and rarer spellings --------------------------------------------------------

_linear("aten.multiply", lambda x: torch.multiply(x, 3))
_linear("aten.divide", lambda x: torch.divide(x, 3))
_linear("aten.true_divide", lambda x: torch.true_divide(x, 3))
_linear("aten.subtract", lambda x: torch.subtract(x, x.flip(1)))
_linear("aten.negative", torch.negative)
_linear("aten.concat", lambda x: torch.concat([x, x], 1))
_linear("aten.concatenate", lambda x: torch.concatenate([x, x], 1))
_linear("aten.copy", lambda x: torch.zeros_like(x).copy_(x))
_linear("aten.addcmul", lambda x: torch.addcmul(x, x.flip(1), weights(10), value=0.5))
_linear("aten.hstack", lambda x: torch.hstack([x, x.flip(2)]))
_linear("aten.vstack", lambda x: torch.vstack([x, x.flip(2)]).view(2, len(x), 4, 10, 10)[1])
_linear("aten.dstack", lambda x: torch.dstack([x, x.flip(2)]))
_linear("aten.column_stack", lambda x: torch.column_stack([x, x.flip(2)]))
_smooth("aten.absolute", torch.absolute)
_smooth("aten.clip", lambda x: x.clip(-1, 1))
_smooth("aten.glu", lambda x: F.glu(x, 1))
_smooth("aten.sign", F.softshrink)

# names that a program of core ATen operations has, such as one that was exported elsewhere -------------

ATEN = torch.ops.aten
_linear(
    "aten.convolution", lambda x: ATEN.convolution(x, ones(2, 4, 3, 3), None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
)
_linear("aten.constant_pad_nd", lambda x: torch.constant_pad_nd(x, [1, 1, 2, 0]))
_linear("aten.reflection_pad1d", lambda x: ATEN.reflection_pad1d(x, [2, 1]), LINE)
_linear("aten.reflection_pad2d", lambda x: ATEN.reflection_pad2d(x, [2, 1, 1, 0]))
_linear("aten.reflection_pad3d", lambda x: ATEN.reflection_pad3d(x, [1, 1, 1, 0, 0, 1]), VOLUME)
_linear("aten.replication_pad1d", lambda x: ATEN.replication_pad1d(x, [2, 1]), LINE)
_linear("aten.replication_pad2d", lambda x: ATEN.replication_pad2d(x, [2, 1, 1, 0]))
_linear("aten.replication_pad3d", lambda x: ATEN.replication_pad3d(x, [1, 1, 1, 0, 0, 1]), VOLUME)
_linear("aten._adaptive_avg_pool2d", lambda x: ATEN._adaptive_avg_pool2d(x, [5, 2]))
_linear("aten._adaptive_avg_pool3d", lambda x: ATEN._adaptive_avg_pool3d(x, [3, 2, 1]), VOLUME)
_smooth("aten._softmax", lambda x: ATEN._softmax(x, 1, False))
_smooth("aten._log_softmax", lambda x: ATEN._log_softmax(x, 1, False))
_smooth("aten._prelu_kernel", lambda x: ATEN._prelu_kernel(x, 0.3 * ones(1, 4, 1, 1)))
_smooth("aten.native_layer_norm", lambda x: torch.native_layer_norm(x, [10], None, None, 1e-5)[0])
_smooth("aten.native_group_norm", lambda x: ATEN.native_group_norm(x, None, None, len(x), 4, 100, 2, 1e-5)[0])
_smooth("aten.norm", lambda x: ATEN.norm.ScalarOpt_dim(x, 2, [2, 3]))
_linear("aten.grid_sampler_2d", lambda x: ATEN.grid_sampler_2d(x, grid(x), 0, 0, False))
_linear("aten.grid_sampler_3d", lambda x: ATEN.grid_sampler_3d(x, grid(x, 3), 0, 1, True), VOLUME)
