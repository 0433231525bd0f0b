"""Zeiler & Fergus (2014), section 2.1, one number at a time: slow, obvious, numpy float64.

Everything works on one image: feature maps are `(channels, *size)` with any number of spatial axes.
Nothing here was taken from the package; it is what the package is compared with.

Where the paper is silent (section 4 of the project's notes), this file decides:

* *Windows.* Window `i` of an axis holds the cells `i * stride - pad + t * dilation` for `t < kernel`;
  cells outside the map never win, never receive. With `ceil_mode` the last window must start inside
  the map or its left pad (PyTorch).
* *Switch.* The first cell, in row-major order, that holds the window's maximum.
* *Overlap.* `sum`: a cell that several windows point at receives the sum of their values (the adjoint
  of max-pooling). `max`: it receives the value of largest magnitude with its sign (Zeiler's 2011 code).
* *Centre.* Instead of the switch, the window's element number `(kernel - 1) // 2` of each axis; where
  that one lies outside the map, the nearest cell of the map.
* *Average.* Instead of the switch, every cell of the window that lies in the map receives the value
  divided by the number of those cells.
* *Contrast norm* `y = x / d`, `d = (k + alpha / n * sum x^2) ** beta`. `identity`: the signal passes;
  `divisor`: the signal is *multiplied* by the stored `d`, which undoes the normalisation (Zeiler's 2011
  toolbox: `pooled_maps .* CNSTDs`); `gradient`: exact derivative.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

Axes = int | Sequence[int]


def per_axis(value: Axes, axes: int) -> tuple[int, ...]:
    """One number for each spatial axis."""
    return (value,) * axes if isinstance(value, int) else tuple(value)


def places(size: Sequence[int]) -> list[tuple[int, ...]]:
    """Every position of a map, in row-major order."""
    return list(product(*(range(length) for length in size)))


def inside(place: Sequence[int], size: Sequence[int]) -> bool:
    """Whether a place lies on the map."""
    return all(0 <= p < length for p, length in zip(place, size, strict=True))


# filter ---------------------------------------------------------------------------------------------


def convolve(
    maps: np.ndarray,
    filters: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    stride: Axes = 1,
    pad: Axes = 0,
    dilation: Axes = 1,
    groups: int = 1,
) -> np.ndarray:
    """Feature maps of a convolution (correlation, as everybody means it)."""
    axes = maps.ndim - 1
    stride, pad, dilation = (per_axis(v, axes) for v in (stride, pad, dilation))
    size, kernel = maps.shape[1:], filters.shape[2:]
    out_size = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(size, pad, dilation, kernel, stride, strict=True)
    ]
    outputs, inputs = filters.shape[0], filters.shape[1]
    result = np.zeros((outputs, *out_size))
    for o in range(outputs):
        group = o // (outputs // groups)
        for place in places(out_size):
            total = 0.0 if bias is None else float(bias[o])
            for offset in places(kernel):
                source = tuple(
                    a * s - p + t * d for a, s, p, t, d in zip(place, stride, pad, offset, dilation, strict=True)
                )
                if inside(source, size):
                    for i in range(inputs):
                        total += maps[(group * inputs + i, *source)] * filters[(o, i, *offset)]
            result[(o, *place)] = total
    return result


def filter_transposed(
    signal: np.ndarray,
    filters: np.ndarray,
    size: Sequence[int],
    *,
    stride: Axes = 1,
    pad: Axes = 0,
    dilation: Axes = 1,
    groups: int = 1,
) -> np.ndarray:
    """The signal on maps of `size` below a convolution: every unit adds its filter where it looked."""
    axes = signal.ndim - 1
    stride, pad, dilation = (per_axis(v, axes) for v in (stride, pad, dilation))
    outputs, inputs, *kernel = filters.shape
    below = np.zeros((inputs * groups, *size))
    for o in range(outputs):
        group = o // (outputs // groups)
        for place in places(signal.shape[1:]):
            for offset in places(kernel):
                target = tuple(
                    a * s - p + t * d for a, s, p, t, d in zip(place, stride, pad, offset, dilation, strict=True)
                )
                if inside(target, size):
                    for i in range(inputs):
                        below[(group * inputs + i, *target)] += signal[(o, *place)] * filters[(o, i, *offset)]
    return below


def filter_flipped(
    signal: np.ndarray,
    filters: np.ndarray,
    size: Sequence[int],
    *,
    stride: Axes = 1,
    pad: Axes = 0,
    dilation: Axes = 1,
) -> np.ndarray:
    """The same as `filter_transposed`, in the paper's words: "flipping each filter vertically and
    horizontally" (inputs and outputs swapped, the signal spread by the stride)."""
    axes = signal.ndim - 1
    stride, pad, dilation = (per_axis(v, axes) for v in (stride, pad, dilation))
    kernel = filters.shape[2:]
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    spread = np.zeros((len(signal), *(n + 2 * p + r for n, p, r in zip(size, pad, reach, strict=True))))
    for place in places(signal.shape[1:]):
        target = tuple(a * s + r for a, s, r in zip(place, stride, reach, strict=True))
        spread[(slice(None), *target)] = signal[(slice(None), *place)]
    flipped = np.flip(filters, axis=tuple(range(2, filters.ndim))).swapaxes(0, 1)
    padded = convolve(spread, flipped, dilation=dilation)
    crop = tuple(slice(p, p + n) for p, n in zip(pad, size, strict=True))
    return padded[(slice(None), *crop)]


def convolve_transposed(
    maps: np.ndarray,
    filters: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    stride: Axes = 1,
    pad: Axes = 0,
    output_padding: Axes = 0,
    dilation: Axes = 1,
    groups: int = 1,
) -> np.ndarray:
    """Feature maps of a transposed convolution; `filters` is `(inputs, outputs / groups, *kernel)`."""
    axes = maps.ndim - 1
    s, p, e, d = (per_axis(v, axes) for v in (stride, pad, output_padding, dilation))
    size = [
        (maps.shape[1 + a] - 1) * s[a] - 2 * p[a] + d[a] * (filters.shape[2 + a] - 1) + e[a] + 1 for a in range(axes)
    ]
    result = filter_transposed(maps, filters, size, stride=stride, pad=pad, dilation=dilation, groups=groups)
    if bias is not None:
        result += bias.reshape(-1, *[1] * axes)
    return result


def convolve_transposed_adjoint(
    signal: np.ndarray,
    filters: np.ndarray,
    *,
    stride: Axes = 1,
    pad: Axes = 0,
    dilation: Axes = 1,
    groups: int = 1,
) -> np.ndarray:
    """The signal below a transposed convolution: a plain convolution with the same weights."""
    return convolve(signal, filters, stride=stride, pad=pad, dilation=dilation, groups=groups)


# rectify --------------------------------------------------------------------------------------------


def rectify(signal: np.ndarray) -> np.ndarray:
    """Max(signal, 0)."""
    return np.where(signal > 0, signal, 0.0)


# pool -----------------------------------------------------------------------------------------------


def window_spans(length: int, kernel: int, stride: int, pad: int, dilation: int, ceil_mode: bool) -> list[list[int]]:
    """The cells of every window along one axis, those outside the map included."""
    room = length + 2 * pad - dilation * (kernel - 1) - 1
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (count - 1) * stride >= length + pad:
        count -= 1
    return [[i * stride - pad + t * dilation for t in range(kernel)] for i in range(count)]


def adaptive_spans(length: int, count: int) -> list[list[int]]:
    """The cells of every window of an adaptive pool along one axis (PyTorch's rule)."""
    return [list(range(i * length // count, -(-(i + 1) * length // count))) for i in range(count)]


def pool_spans(
    size: Sequence[int],
    kernel: Axes,
    stride: Axes | None = None,
    pad: Axes = 0,
    dilation: Axes = 1,
    ceil_mode: bool = False,
) -> list[list[list[int]]]:
    """For each axis, the cells of every window."""
    axes = len(size)
    options = [per_axis(v, axes) for v in (kernel, stride or kernel, pad, dilation)]
    return [window_spans(size[a], *(option[a] for option in options), ceil_mode) for a in range(axes)]


def window_places(spans: list[list[list[int]]], window: Sequence[int], size: Sequence[int]) -> list[tuple[int, ...]]:
    """The places of one window that lie on the map, in row-major order."""
    cells = product(*(span[i] for span, i in zip(spans, window, strict=True)))
    return [place for place in cells if inside(place, size)]


def window_centre(spans: list[list[list[int]]], window: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """The middle place of one window (see the top of this file)."""
    centre = []
    for span, i, length in zip(spans, window, size, strict=True):
        middle = span[i][(len(span[i]) - 1) // 2]
        centre.append(min(max(middle, 0), length - 1))
    return tuple(centre)


def max_pool(
    maps: np.ndarray, spans: list[list[list[int]]]
) -> tuple[np.ndarray, dict[tuple[int, ...], tuple[int, ...]]]:
    """Pooled maps, and for every pooled unit the place of its maximum (the switch)."""
    size, out_size = maps.shape[1:], [len(span) for span in spans]
    pooled, switches = np.zeros((len(maps), *out_size)), {}
    for c in range(len(maps)):
        for window in places(out_size):
            best, where = -np.inf, None
            for place in window_places(spans, window, size):
                if where is None or maps[(c, *place)] > best:
                    best, where = maps[(c, *place)], place
            pooled[(c, *window)] = best
            switches[(c, *window)] = where
    return pooled, switches


def unpool(
    signal: np.ndarray,
    switches: dict[tuple[int, ...], tuple[int, ...]],
    spans: list[list[list[int]]],
    size: Sequence[int],
    *,
    placement: str = "switches",
    overlap: str = "sum",
) -> np.ndarray:
    """The signal on the maps of `size` below a max-pool."""
    arrivals: dict[tuple[int, ...], list[float]] = {}
    for c in range(len(signal)):
        for window in places(signal.shape[1:]):
            value = signal[(c, *window)]
            if placement == "switches":
                targets = [switches[(c, *window)]]
            elif placement == "centre":
                targets = [window_centre(spans, window, size)]
            else:
                targets = window_places(spans, window, size)
            for target in targets:
                arrivals.setdefault((c, *target), []).append(value / len(targets))
    below = np.zeros((len(signal), *size))
    for cell, values in arrivals.items():
        below[cell] = sum(values) if overlap == "sum" else max(values, key=abs)
    return below


def _average_share(
    spans: list[list[list[int]]],
    window: Sequence[int],
    size: Sequence[int],
    pad: Sequence[int],
    count_include_pad: bool,
    divisor_override: int | None,
) -> float:
    if divisor_override:
        return 1.0 / divisor_override
    counted = 1
    for span, i, length, p in zip(spans, window, size, pad, strict=True):
        edge = p if count_include_pad else 0
        counted *= sum(-edge <= cell < length + edge for cell in span[i])
    return 1.0 / counted


def average_pool(
    maps: np.ndarray,
    spans: list[list[list[int]]],
    *,
    pad: Axes = 0,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:
    """Mean of every window; pads count as cells when `count_include_pad`."""
    size = maps.shape[1:]
    pad = per_axis(pad, len(size))
    pooled = np.zeros((len(maps), *(len(span) for span in spans)))
    for window in places(pooled.shape[1:]):
        share = _average_share(spans, window, size, pad, count_include_pad, divisor_override)
        for c in range(len(maps)):
            cells = [maps[(c, *place)] for place in window_places(spans, window, size)]
            pooled[(c, *window)] = share * sum(cells)
    return pooled


def average_pool_adjoint(
    signal: np.ndarray,
    spans: list[list[list[int]]],
    size: Sequence[int],
    *,
    pad: Axes = 0,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:
    """Every cell of a window receives the share with which it entered the mean."""
    pad = per_axis(pad, len(size))
    below = np.zeros((len(signal), *size))
    for window in places(signal.shape[1:]):
        share = _average_share(spans, window, size, pad, count_include_pad, divisor_override)
        for c in range(len(signal)):
            for place in window_places(spans, window, size):
                below[(c, *place)] += share * signal[(c, *window)]
    return below


# contrast norm --------------------------------------------------------------------------------------


def divisor(maps: np.ndarray, n: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """What a contrast norm across `n` neighbouring maps divides by (PyTorch: alpha over n)."""
    result = np.zeros(maps.shape)
    for c in range(len(maps)):
        low = c - n // 2
        neighbours = [j for j in range(low, low + n) if 0 <= j < len(maps)]
        result[c] = (k + alpha / n * sum(maps[j] ** 2 for j in neighbours)) ** beta
    return result


def un_normalise(
    signal: np.ndarray,
    maps: np.ndarray,
    n: int,
    alpha: float,
    beta: float,
    k: float,
    *,
    way: str = "identity",
) -> np.ndarray:
    """The signal below a contrast norm whose input was `maps`."""
    if way == "identity":
        return signal.copy()
    d = divisor(maps, n, alpha, beta, k)
    if way == "divisor":
        return signal * d
    below = signal / d
    for c in range(len(maps)):
        low = c - n // 2
        for j in range(low, low + n):
            if 0 <= j < len(maps):  # d(y_c) / d(x_j), through d_c
                slope = -beta * maps[c] * d[c] ** (-1 - 1 / beta) * 2 * alpha / n * maps[j]
                below[j] += signal[c] * slope
    return below


# a whole network, layer after layer -----------------------------------------------------------------


@dataclass(frozen=True)
class Convolution:
    filters: np.ndarray
    bias: np.ndarray | None = None
    stride: Axes = 1
    pad: Axes = 0
    dilation: Axes = 1
    groups: int = 1


@dataclass(frozen=True)
class Rectifier:
    pass


@dataclass(frozen=True)
class MaxPool:
    kernel: Axes
    stride: Axes | None = None
    pad: Axes = 0
    dilation: Axes = 1
    ceil_mode: bool = False


@dataclass(frozen=True)
class AveragePool:
    kernel: Axes
    stride: Axes | None = None
    pad: Axes = 0
    ceil_mode: bool = False
    count_include_pad: bool = True


@dataclass(frozen=True)
class ContrastNorm:
    n: int
    alpha: float
    beta: float
    k: float


@dataclass(frozen=True)
class Flatten:
    pass


@dataclass(frozen=True)
class Linear:
    weight: np.ndarray
    bias: np.ndarray | None = None


Layer = Convolution | Rectifier | MaxPool | AveragePool | ContrastNorm | Flatten | Linear


def _spans(layer: MaxPool | AveragePool, maps: np.ndarray) -> list[list[list[int]]]:
    dilation = layer.dilation if isinstance(layer, MaxPool) else 1
    return pool_spans(maps.shape[1:], layer.kernel, layer.stride, layer.pad, dilation, layer.ceil_mode)


def up(layer: Layer, maps: np.ndarray) -> np.ndarray:
    """What one layer makes of its input."""
    match layer:
        case Convolution(filters, bias, stride, pad, dilation, groups):
            return convolve(maps, filters, bias, stride=stride, pad=pad, dilation=dilation, groups=groups)
        case Rectifier():
            return rectify(maps)
        case MaxPool():
            return max_pool(maps, _spans(layer, maps))[0]
        case AveragePool():
            return average_pool(
                maps,
                _spans(layer, maps),
                pad=layer.pad,
                count_include_pad=layer.count_include_pad,
            )
        case ContrastNorm(n, alpha, beta, k):
            return maps / divisor(maps, n, alpha, beta, k)
        case Flatten():
            return maps.reshape(-1)
        case Linear(weight, bias):
            return weight @ maps + (0.0 if bias is None else bias)
    raise TypeError(layer)


def down(layer: Layer, signal: np.ndarray, maps: np.ndarray, *, placement: str, overlap: str, lrn: str) -> np.ndarray:
    """The signal below one layer whose input was `maps`. No bias anywhere."""
    match layer:
        case Convolution(filters, _, stride, pad, dilation, groups):
            return filter_transposed(
                signal,
                filters,
                maps.shape[1:],
                stride=stride,
                pad=pad,
                dilation=dilation,
                groups=groups,
            )
        case Rectifier():
            return rectify(signal)
        case MaxPool():
            spans = _spans(layer, maps)
            _, switches = max_pool(maps, spans)
            return unpool(signal, switches, spans, maps.shape[1:], placement=placement, overlap=overlap)
        case AveragePool():
            return average_pool_adjoint(
                signal,
                _spans(layer, maps),
                maps.shape[1:],
                pad=layer.pad,
                count_include_pad=layer.count_include_pad,
            )
        case ContrastNorm(n, alpha, beta, k):
            return un_normalise(signal, maps, n, alpha, beta, k, way=lrn)
        case Flatten():
            return signal.reshape(maps.shape)
        case Linear(weight, _):
            return weight.T @ signal
    raise TypeError(layer)


def forward(layers: Sequence[Layer], photo: np.ndarray) -> list[np.ndarray]:
    """The photo and then the output of every layer."""
    maps = [photo]
    for layer in layers:
        maps.append(up(layer, maps[-1]))
    return maps


def project_signal(
    layers: Sequence[Layer],
    photo: np.ndarray,
    layer_index: int,
    signal: np.ndarray,
    *,
    placement: str = "switches",
    overlap: str = "sum",
    lrn: str = "identity",
) -> np.ndarray:
    """The picture of a signal on the output of layer `layer_index`. Pixels are not rectified."""
    maps = forward(layers, photo)
    for index in range(layer_index, -1, -1):
        signal = down(layers[index], signal, maps[index], placement=placement, overlap=overlap, lrn=lrn)
    return signal


def project(
    layers: Sequence[Layer],
    photo: np.ndarray,
    layer_index: int,
    channel: int,
    position: Sequence[int] = (),
    **options: str,
) -> np.ndarray:
    """The picture of one unit: "we set all other activations in the layer to zero"."""
    activations = forward(layers, photo)[layer_index + 1]
    signal = np.zeros(activations.shape)
    signal[(channel, *position)] = activations[(channel, *position)]
    return project_signal(layers, photo, layer_index, signal, **options)
