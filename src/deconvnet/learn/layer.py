"""One deconvolutional layer: filters that paint the maps below, and the pooling of its own maps."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from deconvnet._checks import as_index, as_list, flag, instance, real_number, short, whole_number
from deconvnet._errors import ArgumentError
from deconvnet._memory import check_fits
from deconvnet.learn.convolve import dense, sparsity
from deconvnet.learn.pooling import Block

Connectivity = Bool[Tensor, "m c"]

_MOST_CHANNELS, _LONGEST_BLOCK = 2**12, 2**16


class DeconvLayer(nn.Module):
    """Filters that paint an image, or the maps of the layer below, from sparse feature maps.

    Zeiler et al. 2010, section 2; with `pool`, Zeiler et al. 2011, section 2.

    Args:
        channels: of the image, or how many pooled maps the layer below has.
        maps: how many feature maps.
        kernel: length of the filters' sides in pixels.
        pool: (height, width, neighbouring maps) of the blocks that are pooled for the next layer; None as in 2010.
        lam: weight of sparsity; the papers' lambda is 1 / lam.
        p: exponent of sparsity; below 1, as in the code of 2010, only for the solver "splitting".
        nonneg: activations may not be negative. The papers' may.
        connectivity: (maps, channels), which maps paint which channels; all by default. See `singles_and_doubles`.
        generator: of the first, random filters; PyTorch's own by default.

    Attributes:
        filters: (maps, channels, k, k) of unit norm.
        energy: (maps,) running mean of each map's squared length; 0 before any learning.
        updates: how often the filters were updated.
        usual: (pooled maps, positions in a block) how often each position was the strongest.

    Raises:
        ArgumentError: numbers out of range, or larger than memory; a map that is connected with nothing.
    """

    filters: Float[Tensor, "m c k l"]
    energy: Float[Tensor, " m"]
    updates: Tensor
    usual: Int[Tensor, "m positions"]
    connectivity: Bool[Tensor, "m c"]

    def __init__(
        self,
        channels: int,
        maps: int,
        kernel: int = 7,
        *,
        pool: Sequence[int] | None = None,
        lam: float = 0.2,
        p: float = 1.0,
        nonneg: bool = False,
        connectivity: Connectivity | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.maps, self.kernel = (
            whole_number(name, value) for name, value in (("channels", channels), ("maps", maps), ("kernel", kernel))
        )
        self.pool: Block | None = None if pool is None else _block(pool)
        self.lam = sparsity(lam, torch.float32)
        self.p = real_number("p", p, least=0, above=True)
        if self.p > 1:
            raise ArgumentError(f"p is above 0 and at most 1; got {p}.")
        self.nonneg = flag("nonneg", nonneg)
        if generator is not None:
            instance("generator", generator, torch.Generator)
        maps, channels, kernel = self.maps, self.channels, self.kernel
        positions = 1 if self.pool is None else self.pool[0] * self.pool[1] * self.pool[2]
        size = 4 * channels * kernel**2 + 8 * positions // (1 if self.pool is None else self.pool[2])
        check_fits("maps", maps, "map", max(size, 1), torch.device("cpu"))
        device = torch.get_default_device() if generator is None else generator.device
        connected = (
            torch.ones(maps, channels, dtype=torch.bool, device=device) if connectivity is None else connectivity
        )
        _check_connectivity(connected, (maps, channels))
        self.filters = nn.Parameter(torch.randn(maps, channels, kernel, kernel, generator=generator, device=device))
        self.register_buffer("connectivity", connected.to(device, copy=True))
        self.register_buffer("energy", torch.zeros(maps, device=device))
        self.register_buffer("updates", torch.tensor(0, device=device))
        self.register_buffer("usual", torch.zeros(self.pooled_maps, positions, dtype=torch.long, device=device))
        self.normalise()

    @property
    def pooled_maps(self) -> int:
        """Maps that are left after pooling: channels of the next layer."""
        return self.maps if self.pool is None else -(-self.maps // self.pool[2])

    @torch.no_grad()
    def normalise(self) -> None:
        """Filters of unit norm, zero where nothing is connected."""
        self.filters.mul_(self.connectivity[:, :, None, None])
        norms = self.filters.flatten(1).norm(dim=1)
        self.filters.div_(norms.clamp(min=torch.finfo(norms.dtype).tiny)[:, None, None, None])

    def extra_repr(self) -> str:
        """What `print` shows."""
        pool = "" if self.pool is None else f", pool={self.pool}"
        return f"{self.channels}, {self.maps}, {self.kernel}{pool}, lam={self.lam:g}"


def singles_and_doubles(channels: int, maps: int | None = None) -> Connectivity:
    """Every channel alone, then every pair of channels (Zeiler et al. 2010, section 3).

    Args:
        channels: how many maps there are below.
        maps: how many groups, from the first; all by default, channels * (channels + 1) / 2.

    Raises:
        ArgumentError: more maps than there are.

    Example:
        >>> singles_and_doubles(9).shape
        torch.Size([45, 9])
    """
    channels = whole_number("channels", channels, most=_MOST_CHANNELS)
    groups = [(i,) for i in range(channels)] + list(combinations(range(channels), 2))
    count = len(groups) if maps is None else as_index(maps)
    if count is None or not 1 <= count <= len(groups):
        raise ArgumentError(f"{channels} channels have 1 to {len(groups)} singles and doubles; got {short(maps)}.")
    connected = torch.zeros(count, channels, dtype=torch.bool, device="cpu")
    for row, group in zip(connected, groups, strict=False):
        row[list(group)] = True
    return connected


def _check_connectivity(connected: object, shape: tuple[int, int]) -> None:
    """Raise unless every map is connected with a channel."""
    got = type(connected).__name__
    if isinstance(connected, Tensor):
        if connected.dtype == torch.bool and tuple(connected.shape) == shape and dense(connected).any(1).all():
            return
        got = f"{connected.dtype} of shape {tuple(connected.shape)}"
    raise ArgumentError(f"connectivity is bool of shape {shape}, every map connected with a channel; got {got}.")


def _block(pool: Sequence[int]) -> Block:
    lengths = as_list(pool)
    if lengths is None or len(lengths) != 3:
        raise ArgumentError(f"pool is (height, width, neighbouring maps); got {short(pool)}.")
    return tuple(whole_number("a length in pool", length, most=_LONGEST_BLOCK) for length in lengths)  # type: ignore[return-value]  # three of them


def for_each_layer(name: str, value: Any, count: int) -> list[Any]:
    """An option of layers: given for each, or one for all.

    Args:
        name: of the option.
        value: as given.
        count: of the layers.

    Raises:
        ArgumentError: given for another number of layers.
    """
    listed = as_list(value)
    values = [value] * count if listed is None else listed
    if len(values) != count:
        raise ArgumentError(f"{name} is one number for all {count} layers or one for each; got {short(value)}.")
    return values
