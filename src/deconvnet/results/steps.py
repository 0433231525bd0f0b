"""The mechanism shown: one unit's signal at every step of its way down (figure 1 of the paper, on a real photo)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Unpack, overload

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image, ImageDraw
from torch import Tensor

from deconvnet._checks import flag, index_of, instance
from deconvnet._devices import in_float64
from deconvnet._errors import ArgumentError
from deconvnet._frames import frame
from deconvnet._types import PIXELS, Box, Unit
from deconvnet.core.pooling import PoolWindows
from deconvnet.core.rules import RuleSet
from deconvnet.pictures import render as pictures
from deconvnet.pictures import sheets
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.fit import fit
from deconvnet.pictures.layout import Layout, LayoutOptions
from deconvnet.pictures.planes import views
from deconvnet.results.blocks import blocks, name_of
from deconvnet.results.facts import Facts
from deconvnet.results.reconstruction import caption
from deconvnet.results.saved import Drawing, Savable

_CELL = 176  # pixels of a picture in the figure
_SWITCHES = 16  # pixels of a map that a picture of switches shows at most, along each axis
_INK, _FRAME = (190, 30, 45), (190, 190, 190)


@dataclass(frozen=True, eq=False)
class StepDown:
    """One step of a way down: what has come to a layer, beside what the forward pass had there.

    Attributes:
        layer: where the signal has come to; "the pixels" at the end.
        undone: the layers that were undone to come here; none at the start.
        how: what undoing them does, such as "unpool by switches (sum)".
        signal: (c, *size) all that has come to the layer.
        forward: (c, *size) what the layer gave on the way up.
        switches: (c, *pooled) where a max-pool was undone by its switches: the flat position of each window's
            maximum in its map of `forward`, as PyTorch's poolings return it.
        windows: of that max-pool, per spatial axis.
        error: how far unpooling is from an inverse: |forward - unpooled| / |forward| (Euclidean, over all
            maps), where the max-pool's own output on the way up is unpooled. None where no max-pool is undone;
            a maximum over whole maps, such as `amax`, is none.
        pool: the layer of the max-pool that `switches`, `windows` and `error` are of; where several take the same
            maps, the one that is undone first.
        rectified: whether the layer rectifies on the way up: a rectifier, a smooth activation that the rules admit
            in its place, or the concatenation of branches that are all rectified.
    """

    layer: str
    undone: tuple[str, ...]
    how: str
    signal: Float[Tensor, "c *size"]
    forward: Float[Tensor, "c *size"]
    switches: Int[Tensor, "c *pooled"] | None = None
    windows: tuple[PoolWindows, ...] | None = None
    error: float | None = None
    pool: str | None = None
    rectified: bool = False

    def __repr__(self) -> str:
        size = "x".join(map(str, self.signal.shape))
        return f"<StepDown to {self.layer!r}: {self.how or 'the start'}, a signal of {size}>"

    @property
    def offsets(self) -> Int[Tensor, "c *pooled axes"] | None:
        """The switches as steps from the first pixel of each window, which may lie in the padding, per spatial axis."""
        if self.switches is None or self.windows is None:
            return None
        positions = torch.unravel_index(self.switches, self.signal.shape[1:])
        axes = len(self.windows)
        starts = [axis.starts.view(-1, *[1] * (axes - 1 - i)) for i, axis in enumerate(self.windows)]
        return torch.stack([position.cpu() - start for position, start in zip(positions, starts, strict=True)], -1)

    @property
    def strongest(self) -> int:
        """The feature map, or the unit, where the signal is largest; rectifiers let nothing else through."""
        return int(self.signal.reshape(len(self.signal), -1).amax(1).argmax())


@dataclass(frozen=True, eq=False)
class Steps(Savable):
    """A unit's way down, step by step.

    `len(steps)` is their number; `steps[i]` and the items of a loop are of type `StepDown`.

    Attributes:
        unit: what was carried down.
        activation: its value on the way up.
        steps: from the unit's layer down.
        rules: the rule set.
        facts: what a reader should know.
        made_with: versions of deconvnet and torch.
    """

    unit: Unit
    activation: float
    steps: tuple[StepDown, ...]
    rules: RuleSet
    facts: Facts

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know, in words."""
        return self.facts.notes()

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[StepDown]:
        return iter(self.steps)

    @overload
    def __getitem__(self, index: int) -> StepDown: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[StepDown, ...]: ...

    def __getitem__(self, index: int | slice) -> StepDown | tuple[StepDown, ...]:
        if isinstance(index, slice):
            return self.steps[index]
        return self.steps[index_of(index, len(self), "steps")]

    def __repr__(self) -> str:
        return f"<Steps of {caption(self.unit, self.activation)} of {self.unit.layer!r}, {len(self)} of them>"

    @cached_property
    def changing(self) -> tuple[StepDown, ...]:
        """The steps that change something: without reshaping, dropout and the like.

        Layers that none of the signal comes to are left out too, such as other levels of a detector, unless all of it
        dies out on the way. Of an answer that stands in a long list, the first step is the map that it is read from.
        """
        at = {step.layer: step.signal for step in self._way}

        def same(step: StepDown) -> bool:
            above = [at[layer].flatten() for layer in step.undone if layer in at]
            return len(step.undone) == 1 == len(above) and torch.equal(above[0], step.signal.flatten())

        return tuple(step for step in self._way if not same(step))

    @cached_property
    def _way(self) -> tuple[StepDown, ...]:
        """The steps that a signal comes to, from the first map on that holds it as it started."""
        if not bool(self.steps[-1].signal.any()):
            return self.steps
        reached = [step for step in self.steps if bool(step.signal.any())]
        first = _first_in_maps(reached)
        return (replace(reached[first], undone=(), how=""), *reached[first + 1 :])

    @cached_property
    def blocks(self) -> tuple[tuple[StepDown, ...], ...]:
        """The steps that change something, by block: a block ends where all of the signal passes one layer.

        Without branches a block is one step. The others of a block, such as those of an inception module or of a
        residual block, lie on its branches.
        """
        changing, waiting, groups = (
            {step.layer for step in self.changing},
            list[StepDown](),
            list[tuple[StepDown, ...]](),
        )
        layers, sizes = [step.layer for step in self._way], [tuple(step.signal.shape[1:]) for step in self._way]
        for group in blocks(layers, [step.undone for step in self._way], sizes):
            waiting += [self._way[i] for i in group if self._way[i].layer in changing]
            if self._way[group[-1]].layer in changing:
                groups.append(tuple(waiting))
                waiting = []
        return tuple(groups)

    def figure(
        self, photo: Image.Image | None = None, *, whole: bool = False, **layout: Unpack[LayoutOptions]
    ) -> Figure:
        """The steps as a picture: the signal, its strongest map, that map on the way up, and the switches.

        In all of them zero is mid-grey. Switches are drawn where the signal is strongest: the window's
        middle, and a line from it to the pixel of the maximum. Layers without spatial axes are drawn as
        squares, and of volumes the plane across the first axis where the signal is strongest, without switches. Of each
        of the `blocks` the last step is drawn; its caption counts the others.

        Args:
            photo: what stands beside the pixels, such as `Preprocess.as_seen(photo)`; the network's input if None, as
                it is for volumes.
            whole: draw every step, those on branches too.
            tile: longer side of each picture, in pixels; 176 on a screen.
            columns: steps side by side.
            title: above the figure; unit and rules by default.
            dpi, text: as in `Reconstruction.sheet`.

        Raises:
            ArgumentError: maps with one spatial axis; `photo` is not a PIL image, or is given for a volume.
        """
        chosen = Layout.of("Steps.figure", layout)
        if photo is not None and not all(instance("photo", photo, Image.Image).size):
            raise ArgumentError(f"the photo is empty: {photo.width} x {photo.height} pixels.")
        groups = [(step,) for step in self.changing] if flag("whole", whole) else self.blocks
        axes = self.steps[-1].signal.ndim
        if axes == 4 and photo is not None:
            raise ArgumentError("the steps are of a volume, and a photo cannot stand beside it: leave it out.")
        drawn = [_flat(step, axes) for *_, step in groups]
        wide = 3 + any(step.switches is not None for step, _ in drawn)
        side = chosen.tile or chosen.pixels(_CELL)
        cells = [
            sheets.Cell(_row(step, photo, wide, side), "; ".join(filter(None, [_words(group), plane])))
            for group, (step, plane) in zip(groups, drawn, strict=True)
        ]
        columns = max(1, round(math.sqrt(len(cells) / wide)))
        chosen = replace(chosen, title=chosen.title or _title(self))
        planes = " Of each volume one plane, at the depth that is named." if any(plane for _, plane in drawn) else ""
        around = sheets.Around(_legend(wide) + planes, self.facts.notice)
        return sheets.sheet(cells, chosen, tile=_CELL, columns=columns, around=around)

    def to_frame(self) -> Any:
        """A row for each step: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: layer, undone (the layers, with commas), how, channels, strongest (map of the largest signal), norm of
        the signal (the root of its sum of squares), error of unpooling and pool (missing where none), rectified.
        """
        return frame({
            "layer": [step.layer for step in self], "undone": [", ".join(step.undone) for step in self],
            "how": [step.how for step in self], "channels": [len(step.signal) for step in self],
            "strongest": [step.strongest for step in self],
            "norm": [float(in_float64(step.signal).norm()) for step in self],
            "error": [step.error for step in self], "pool": [step.pool for step in self],
            "rectified": [step.rectified for step in self],
        })  # fmt: skip

    _options = Drawing.__annotations__

    def _drawn(self, *, pixels: bool, whole: bool = False, **layout: Unpack[LayoutOptions]) -> Figure:
        return self.figure(whole=whole, **layout)


def _first_in_maps(steps: Sequence[StepDown]) -> int:
    """The index of the first step whose signal lies in maps of several positions, if none before does more than move
    it about; else 0.
    """
    started = steps[0].signal[steps[0].signal != 0].sort().values
    for i, step in enumerate(steps):
        if not torch.equal(step.signal[step.signal != 0].sort().values, started):
            break
        if step.signal.ndim == steps[-1].signal.ndim and math.prod(step.signal.shape[1:]) > 1:
            return i
    return 0


def _flat(step: StepDown, axes: int) -> tuple[StepDown, str]:
    """A step as it is drawn, and which plane that shows; of a volume the one where the signal is strongest.

    Args:
        step: what is rearranged into other axes than the input's is drawn as a square.
        axes: of the signal that came to the end.

    Raises:
        ArgumentError: neither of an image nor of a volume.
    """
    if axes not in (1, 3, 4):
        raise ArgumentError(
            f"layer {step.layer!r} has maps of {step.signal.ndim - 1} axes, and only images and volumes can be drawn: "
            "take the tensors, .signal and .forward of each step."
        )
    if step.signal.ndim != axes:
        return replace(step, signal=step.signal.flatten(), forward=step.forward.flatten(), switches=None), ""
    if axes < 4:
        return step, ""
    view = views(step.signal)[0]
    flat = replace(step, signal=view.plane(step.signal), forward=view.plane(step.forward), switches=None, windows=None)
    return flat, f"depth {view.index} of {step.signal.shape[1]}"


def _row(step: StepDown, photo: Image.Image | None, wide: int, side: int) -> tuple[Image.Image, ...]:
    """A step's row: the signal over all maps, its strongest map, that map on the way up, and the switches."""
    blank = Image.new("RGB", (side, side), "white")
    signal, forward = _as_maps(step.signal), _as_maps(step.forward)
    drawn: tuple[Image.Image, ...]
    if step.layer == PIXELS and step.signal.shape[0] in (1, 3):
        drawn = (pictures.render(signal), blank, photo or pictures.render(forward))
    elif step.signal.ndim == 1:
        drawn = (pictures.render(signal, scale="linear"), blank, pictures.render(forward, scale="linear"))
    else:
        of_all = pictures.magnitude(signal)[None]
        strongest, above = signal[step.strongest][None], forward[step.strongest][None]
        drawn = tuple(pictures.render(part, scale="linear") for part in (of_all, strongest, above))
    switches = blank if step.switches is None or step.windows is None else _switches(step, side)
    return tuple(image if image is blank else _framed(image, side) for image in (*drawn, switches)[:wide])


def _framed(image: Image.Image, side: int) -> Image.Image:
    """An image as large as its tile, with a thin frame: one that is white all over is seen on white paper too."""
    framed = fit(image.convert("RGB"), side)
    ImageDraw.Draw(framed).rectangle((0, 0, framed.width - 1, framed.height - 1), outline=_FRAME)
    return framed


def _as_maps(signal: Tensor) -> Tensor:
    """Maps as they are; a layer without spatial axes as one square map, filled up with zeros."""
    if signal.ndim == 3:
        return signal
    side = math.isqrt(max(len(signal) - 1, 0)) + 1
    square = signal.new_zeros(side * side)
    square[: len(signal)] = signal
    return square.view(1, side, side)


def _switches(step: StepDown, side: int) -> Image.Image:
    """The strongest map of the signal, enlarged where it is strong, and the switches of its windows."""
    assert step.switches is not None and step.windows is not None
    signal = in_float64(step.signal[step.strongest])
    box = _around_peak(signal)
    scale = max(4, side // max(box.size))
    image = pictures.render(pictures.crop(signal[None], box), scale="linear")
    image = image.resize((box.size[1] * scale, box.size[0] * scale), Image.Resampling.NEAREST)
    image = Image.blend(image, Image.new("RGB", image.size, "white"), 0.4)
    draw = ImageDraw.Draw(image)
    positions = np.stack(np.unravel_index(step.switches[step.strongest].cpu().numpy(), tuple(signal.shape)), -1)
    middles = [_middle(axis) for axis in step.windows]
    for index in np.ndindex(*positions.shape[:2]):
        middle = [float(axis[i]) for axis, i in zip(middles, index, strict=True)]
        y, x = ((a - low + 0.5) * scale for a, low in zip(middle, box.low, strict=True))
        v, u = ((int(a) - low + 0.5) * scale for a, low in zip(positions[index], box.low, strict=True))
        draw.line((x, y, u, v), fill=_INK, width=1)
        r = max(2, scale // 6)
        draw.ellipse((u - r, v - r, u + r, v + r), fill=_INK)
    return image


def _middle(windows: PoolWindows) -> np.ndarray:
    """The middle of each window's pixels, also between two of them."""
    return np.asarray(windows.starts + (windows.counts - 1) * windows.dilation / 2)


def _around_peak(signal: Float[Tensor, "h w"]) -> Box:
    """The part of a map around its largest signal that a picture of switches shows."""
    peak = np.unravel_index(int(signal.argmax()), tuple(signal.shape))
    sizes = [min(length, _SWITCHES) for length in signal.shape]
    low = [
        min(max(int(middle) - size // 2, 0), length - size)
        for middle, size, length in zip(peak, sizes, signal.shape, strict=True)
    ]
    return Box(tuple(low), tuple(a + b for a, b in zip(low, sizes, strict=True)))


def _words(group: Sequence[StepDown]) -> str:
    """The last step of a block in words."""
    *hidden, step = group
    channels, *size = step.signal.shape
    maps = f"{channels} maps of {'x'.join(map(str, size))}" if size else f"{channels} unit{'s' * (channels > 1)}"
    words = [f"{step.layer}: {maps}" if step.layer != PIXELS else PIXELS]
    if hidden:
        within = name_of([each.layer for each in hidden])
        words.append(f"{f'block {within}' if within else 'the block above'} undone in {len(group)} steps")
    elif step.undone:
        words.append(f"{_listed(step.undone)} undone ({step.how})")
    if size and step.layer != PIXELS:
        words.append(f"map {step.strongest}")
    if step.error is not None:
        words.append(f"unpooling {step.pool} gives the forward maps back with a relative error of {step.error:.2f}")
    return "; ".join(words)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _title(steps: Steps) -> str:
    layer = "" if steps.unit.name else f"{steps.unit.layer}, "
    return f"{layer}{caption(steps.unit, steps.activation)} ({steps.rules.name})"


def _legend(wide: int) -> str:
    words = "From left: the signal over all maps, its strongest map, that map on the way up"
    switches = ", the switches where the signal is strongest" if wide > 3 else ""
    return f"{words}{switches}."
