"""Captum's `Occlusion`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from deconvnet._checks import as_list, flag, short, whole_number
from deconvnet._errors import ArgumentError, TargetError
from deconvnet.captum_api.classes import class_targets
from deconvnet.captum_api.joined import Attached, Inputs, Joined, holds_values
from deconvnet.engine.layers import class_scores
from deconvnet.network import attached
from deconvnet.probes.covered_positions import occlude


class Occlusion:
    """Covering parts of an image, called as Captum's class of the same name.

    Only what a covered part reaches is computed, see `probes.occlude`; the numbers are Captum's.

    Args:
        forward_func: a model that can be captured, of one input; it is not changed.

    Example:
        >>> from torch import nn, randn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 12 * 12, 4))
        >>> Occlusion(model).attribute(randn(2, 3, 16, 16), (3, 4, 4), strides=(3, 2, 2), target=3).shape
        torch.Size([2, 3, 16, 16])
    """

    def __init__(self, forward_func: nn.Module) -> None:
        self.forward_func, self._attached = forward_func, Attached(forward_func, "deconvnet")

    def attribute(
        self,
        inputs: Inputs,
        sliding_window_shapes: tuple[int, ...] | tuple[tuple[int, ...], ...],
        strides: Any = None,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
    ) -> Inputs:
        """By how much the output of a class falls where each pixel is covered, the mean over all windows that cover it.

        Args:
            inputs: one tensor, (n, c, *spatial), alone or in a tuple.
            sliding_window_shapes: (c, *lengths) of what is covered, in all channels.
            strides: by which it moves: a number, or one for each axis; 1 by default.
            baselines: what stands in the covered part: a number, or a tensor that is the same at every position; 0 by
                default.
            target: as in `Deconvolution.attribute`.
            additional_forward_args: must be None.
            perturbations_per_eval: not used: how much is computed at a time follows from the memory.
            show_progress: print how far it is.

        Returns:
            Shaped as `inputs`.

        Raises:
            ArgumentError: several inputs or further arguments; windows that leave out channels; a baseline that differs
                from position to position.
            TargetError, CaptureError, NotFiniteError, MemoryBudgetError: as in `probes.occlude`.
        """
        whole_number("perturbations_per_eval", perturbations_per_eval)
        given = inputs[0] if isinstance(inputs, tuple) and len(inputs) == 1 else inputs
        if not isinstance(given, Tensor) or given.ndim < 3 or additional_forward_args is not None:
            raise ArgumentError(
                "Occlusion covers one input, (n, c, *spatial), of a model without further arguments; got "
                f"{short(inputs)}. probes.occlude takes a mask of any shape; for more, put a module around the model."
            )
        joined = self._attached.joined(given, None)
        lengths, steps = _window(sliding_window_shapes, strides, joined.x.shape[1:])
        fills, targets = _fills(baselines, joined.x), _each(target, joined)
        drops = []
        with _reporting(flag("show_progress", show_progress), len(joined.x)) as report:
            for i, (fill, wanted) in enumerate(zip(fills, targets, strict=True)):
                drops.append(
                    _drop(joined, i, lengths, steps, fill, wanted, lambda done, of, i=i: report(i + done / of))
                )
        signal = torch.stack(drops).to(joined.x)[:, None].expand_as(joined.x).clone()
        return (signal,) if isinstance(inputs, tuple) else signal


def _drop(joined: Joined, i: int, lengths: Any, steps: Any, fill: Any, target: Any, report: Any) -> Tensor:
    """Of one image: by how much what the model gives falls, on its pixels."""
    engine = attached(joined.net)
    skipped = class_scores(engine.graph(joined.x), engine.output, engine.operations.rows).skipped
    result = occlude(
        joined.net, joined.x[i : i + 1], size=lengths, stride=steps, partial=True, fill=fill, targets=[target],
        progress=report,
    )  # fmt: skip
    before, after = (result.probability, result.probabilities) if skipped else (result.score, result.scores)
    if skipped[:1] == ("log_softmax",):
        before, after = before.log(), after.log()
    return result.on_pixels(before[0] - after[:, 0])


def _window(shapes: Any, strides: Any, shape: torch.Size) -> tuple[list[int], list[int]]:
    """Lengths and strides along the spatial axes."""
    listed = as_list(shapes) or []
    (listed,) = [as_list(each) or [] for each in listed] if len(listed) == 1 else [listed]
    if len(listed) != len(shape) or listed[0] != shape[0]:
        raise ArgumentError(
            f"sliding_window_shapes is (channels, *lengths) with all {shape[0]} channels, {len(shape)} numbers; got "
            f"{short(shapes)}."
        )
    moved = [1 if strides is None else strides] * len(shape)
    if as_list(strides) is not None:
        moved = as_list(strides) or []
        (moved,) = [as_list(each) or [each] * len(shape) for each in moved] if len(moved) == 1 else [moved]
    if len(moved) != len(shape):
        raise ArgumentError(f"strides is a number, or {len(shape)} of them; got {short(strides)}.")
    return (
        [whole_number("sliding_window_shapes", each) for each in listed[1:]],
        [whole_number("strides", each) for each in moved[1:]],
    )


def _fills(baselines: Any, x: Tensor) -> list[Any]:
    """What stands in the covered part, of each image."""
    given = baselines[0] if isinstance(baselines, tuple) and len(baselines) == 1 else baselines
    if not isinstance(given, Tensor) or not given.ndim:
        return [0.0 if given is None else given] * len(x)
    if given.shape[1:] != x.shape[1:] or len(given) not in (1, len(x)) or not holds_values(given):
        raise ArgumentError(
            f"baselines is a number or a tensor shaped as the input, {tuple(x.shape)}; got {short(given)}."
        )
    columns = given.flatten(2)
    if bool((columns != columns[..., :1]).any()):
        raise ArgumentError(
            "baselines differs from position to position, which is not covered here: give one value a channel."
        )
    values = columns[..., 0].tolist()
    return values if len(values) == len(x) else values * len(x)


def _each(target: Any, joined: Joined) -> list[Any]:
    """The target of each image."""
    given = class_targets(target, joined)
    if isinstance(given, tuple):
        raise TargetError("Occlusion needs one score for each class; a tuple is a class at a position of a map.")
    listed = as_list(given)
    if listed is not None and len(listed) != len(joined.x):
        raise TargetError(f"target has one class for each of the {len(joined.x)} images; got {short(target)}.")
    return [given] * len(joined.x) if listed is None else listed


@contextmanager
def _reporting(show: bool, images: int) -> Iterator[Any]:
    """What is told how many of the images are done."""
    with Progress(console=Console(stderr=True), disable=not show) as progress:
        task = progress.add_task("occlusion", total=images)
        yield lambda done: progress.update(task, completed=done)
