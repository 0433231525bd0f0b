"""What a unit sees of the map below its step, and whether a step can run on a window of its maps.

Along each axis a unit at y sees the pixels from `scale * y + low` to `scale * y + high`, both included and
rounded inward.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from deconvnet.core.graph import Step, Value, per_axis, values_in
from deconvnet.core.rules import RuleSet

Window = tuple[Fraction | int, Fraction | int, Fraction | int]  # scale, low, high
Sees = Callable[[Step, Value, int], list[Window] | None]
Fits = Callable[[Step, tuple[Value, ...], RuleSet], bool]


# What a unit sees of one of the maps below: (step, value below, spatial axes) -> a window per axis, or None
# where the geometry is not that of a window.


def same_position(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The one at its own position."""
    sizes, above = ([size.of(1) for size in value.shape[-axes:]] for value in (below, step.output))
    return [(1, 0, 0)] * axes if sizes == above else None


def maps_untouched(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The one at its own position, if each map, the last axes, is moved about as a whole."""
    arguments = step.arguments
    given = [arguments[name] for name in ("dim", "dim0", "dim1", "dims") if arguments.get(name) is not None]
    moved = [axis for named in given for axis in (named if isinstance(named, list) else [named])]
    ranks = max(len(below.shape), len(step.output.shape))
    return _untouched(step, below, axes, all(axis % ranks < ranks - axes for axis in moved))


def maps_permuted(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The one at its own position, if the last axes stay the last and in order."""
    rank = len(below.shape)
    order = [axis % rank for axis in step.arguments["dims"]]
    return _untouched(step, below, axes, order[-axes:] == list(range(rank - axes, rank)))


def _untouched(step: Step, below: Value, axes: int, untouched: bool) -> list[Window] | None:
    same = below.shape[-axes:] == step.output.shape[-axes:] and len(below.shape) > axes
    return [(1, 0, 0)] * axes if same and untouched else None


def sliced(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The one at its own position, or where a slice of a spatial axis took it from."""
    arguments, ranks = step.arguments, len(below.shape)
    along = arguments.get("dim", 0) % ranks - (ranks - axes)
    if along < 0:
        return maps_untouched(step, below, axes)
    start, stride = arguments.get("start") or 0, arguments.get("step", 1)
    if not _plain(step, below, axes) or not isinstance(start, int) or not isinstance(stride, int):
        return None
    length = below.map_size[along]
    first = min(max(start + length if start < 0 else start, 0), length)
    return [(stride, first, first) if axis == along else (1, 0, 0) for axis in range(axes)]


def sliding(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The window of a convolution or a pooling."""
    arguments, padding = step.arguments, step.arguments.get("padding", 0)
    if not _plain(step, below, axes):
        return None
    kernel = per_axis(_kernel(arguments), axes)
    stride = per_axis(arguments.get("stride") or kernel, axes)
    dilation = per_axis(arguments.get("dilation", 1), axes)
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if isinstance(padding, str):
        pads = tuple(length // 2 if padding == "same" else 0 for length in reach)
    else:
        pads = per_axis(padding, axes)
    return [(s, -p, length - p) for s, p, length in zip(stride, pads, reach, strict=True)]


def sliding_transposed(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The units of the map below whose windows hold it."""
    if not _plain(step, below, axes):
        return None
    arguments = step.arguments
    kernel, stride = per_axis(_kernel(arguments), axes), per_axis(arguments["stride"], axes)
    padding, dilation = per_axis(arguments["padding"], axes), per_axis(arguments["dilation"], axes)
    return [
        (Fraction(1, s), Fraction(p - d * (k - 1), s), Fraction(p, s))
        for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True)
    ]


def sliding_either_way(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The window of a convolution, transposed or not."""
    return (sliding_transposed if is_transposed(step) else sliding)(step, below, axes)


def is_transposed(step: Step) -> bool:
    """Whether a convolution is a transposed one: it says so, or is of a kind that has an output padding."""
    return bool(step.arguments.get("transposed", "output_padding" in step.arguments))


def adaptive(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The window of an adaptive pooling, where all are of one size."""
    sizes, above = below.map_size, step.output.map_size
    if not _plain(step, below, axes) or any(s % a or a < 2 for s, a in zip(sizes, above, strict=True)):
        return None
    return [(s // a, 0, s // a - 1) for s, a in zip(sizes, above, strict=True)]


def enlarged(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The one unit that it is a copy of, where maps grow by a whole factor."""
    return _enlarged(step, below, axes, blends=False)


def blended(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The two neighbours along each axis that it is blended from."""
    return None if step.arguments.get("align_corners") else _enlarged(step, below, axes, blends=True)


def _enlarged(step: Step, below: Value, axes: int, *, blends: bool) -> list[Window] | None:
    sizes, above = below.map_size, step.output.map_size
    if not _plain(step, below, axes) or any(a % s for s, a in zip(sizes, above, strict=True)):
        return None
    windows: list[Window] = []
    for factor in (a // s for s, a in zip(sizes, above, strict=True)):
        shift = Fraction(1 - factor, 2 * factor)
        apart = 1 - Fraction(1, 2 * factor)  # where it lies on one of them it does not see the next
        low = shift - apart if blends else Fraction(1 - factor, factor)
        windows.append((Fraction(1, factor), low, shift + apart if blends else 0))
    return windows


def blocks(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The block of pixels that becomes the maps of one."""
    factor = step.arguments["downscale_factor"]
    return [(factor, 0, factor - 1)] * axes if _plain(step, below, axes) else None


def padded(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The one at its own position, shifted by the border."""
    if not _plain(step, below, axes) or step.arguments.get("mode", "constant") != "constant":
        return None
    before = step.arguments["pad"][::2][:axes][::-1]
    return [(1, -pad, -pad) for pad in [0] * (axes - len(before)) + before]


def neighbours(step: Step, below: Value, axes: int) -> list[Window] | None:
    """The neighbours along one axis whose difference it is."""
    given = [step.arguments.get(name) for name in ("prepend", "append")]
    if not _plain(step, below, axes) or any(isinstance(value, Value) for value in given):
        return None
    along = step.arguments["dim"] % (axes + 2) - 2
    return [(1, 0, step.arguments["n"] if axis == along else 0) for axis in range(axes)]


def _plain(step: Step, below: Value, axes: int) -> bool:
    """Whether both are feature maps, and nothing else."""
    return len(below.shape) == axes + 2 == len(step.output.shape)


def _kernel(arguments: Mapping[str, Any]) -> Any:
    return arguments["kernel_size"] if "kernel_size" in arguments else list(arguments["weight"].map_size)


# Whether a step does the same at every position, and at the border as if the maps went on, so that it gives
# on windows of its maps what it gives on the maps: (step, maps below, rule set) -> bool.


def point_by_point(step: Step, below: tuple[Value, ...], rules: RuleSet) -> bool:
    """Whether all that it takes are maps of one size, or numbers for a whole map."""
    return all(
        value.map_size == step.output.map_size if value in below else _number_per_map(value, step)
        for value in values_in(step.arguments)
    )


def map_by_map(step: Step, below: tuple[Value, ...], rules: RuleSet) -> bool:
    """Whether its maps are of one size; what else it takes holds a number for each map."""
    return all(value.map_size == step.output.map_size for value in below)


def among_maps(step: Step, below: tuple[Value, ...], rules: RuleSet) -> bool:
    """Whether it works along the axis of the maps."""
    return step.arguments.get("dim") in (1, 1 - len(step.output.shape))


def sliced_in_windows(step: Step, below: tuple[Value, ...], rules: RuleSet) -> bool:
    """Whether a slice takes everything, or maps, or along a spatial axis positions that windows can hold."""
    ranks = len(step.output.shape)
    if below[0].shape == step.output.shape or among_maps(step, below, rules):
        return True
    return step.arguments.get("dim", 0) % ranks > 1 and sliced(step, below[0], ranks - 2) is not None


def pads_maps(step: Step, below: tuple[Value, ...], rules: RuleSet) -> bool:
    """Whether it adds maps, and no border to any."""
    return not any(step.arguments["pad"][: 2 * (len(step.output.shape) - 2)])


def convolved(step: Step, below: tuple[Value, ...], rules: RuleSet) -> bool:
    """Whether its filters are weights, and its border is written in numbers."""
    return len(step.signals) == 1 and not isinstance(step.arguments["padding"], str)


def pooled(step: Step, below: tuple[Value, ...], rules: RuleSet) -> bool:
    """Whether every window of a pooling lies inside the map, so that none is smaller than the others."""
    return not step.arguments["ceil_mode"] and not any(per_axis(step.arguments["padding"], 1))


def pooled_to_maximum(step: Step, below: tuple[Value, ...], rules: RuleSet) -> bool:
    """Whether a max-pool's values go back by switches, wherever its windows lie."""
    return rules.unpool == "switches" or pooled(step, below, rules)


def always(step: Step, below: tuple[Value, ...], rules: RuleSet) -> bool:
    """At every position and border."""
    return True


def never(step: Step, below: tuple[Value, ...], rules: RuleSet) -> bool:
    """It must see whole maps."""
    return False


def _number_per_map(value: Value, step: Step) -> bool:
    return not value.shape or math.prod(size.of(1) for size in value.shape[2 - len(step.output.shape) :]) == 1
