"""The captures of one model: made for each new input size, checked against the model, kept while they are valid.

A capture is a claim: these steps compute what the model computes, image by image. Before it is used
for a number of images it is held against the model itself, so a model that branches on the batch
size, mixes its images or is changed by hooks is captured anew or refused, and never shown wrongly.

Threads may share all of it. torch.export can trace one model at a time, so captures are made one after another, and a
process is not forked meanwhile.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, count
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deconvnet._errors import ArgumentError, CaptureError, NotFiniteError
from deconvnet._precision import AS_THE_WEIGHTS, Arithmetic
from deconvnet._stand_in import in_type, stand_in, with_own
from deconvnet.capture import trace as tracing
from deconvnet.capture import untouched
from deconvnet.capture.agreement import close, gives, outputs_of, outputs_of_model, random_like, unmoved_by_the_rest
from deconvnet.core.converted import Converted
from deconvnet.core.finite import all_finite, too_large, without_nan
from deconvnet.core.graph import Graph, values_in
from deconvnet.core.operations import operations, row_of
from deconvnet.core.replays import Replays
from deconvnet.core.weights import weights_of

_CHECKED_UP_TO = 16  # images; for more, `Graph.holds_for` says whether they take the same way
_MOST_VARIANTS, _MOST_KINDS = 4, 64  # captures that are kept of one kind of images, and kinds
_NEXT_USE = count()

with suppress(ImportError):  # torch.export imports it, and what it does at forks must not begin in the middle of one
    import filelock  # noqa: F401

_capturing = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_capturing.acquire, after_in_parent=_capturing.release, after_in_child=_capturing.release
    )


@dataclass(eq=False)
class _Capture:
    """A capture, and what it was last checked against.

    Attributes:
        graph: the capture.
        structure: of the model and its hooks, when it was made.
        attributes: of the modules, when it was last held against the model.
        checked: the numbers of images for which it was.
        used: larger than that of every capture that was used before.
    """

    graph: Graph
    structure: tuple[Any, ...]
    attributes: Mapping[Any, Any]
    checked: set[int]
    used: int = field(default_factory=lambda: next(_NEXT_USE))

    def holds_as_it_is(self, structure: tuple[Any, ...], attributes: Mapping[Any, Any], images: int) -> bool:
        """Whether nothing has changed since it was held against the model for this number of images."""
        return images in self.checked and self.attributes == attributes and self.structure == structure


class Captures:
    """A model and its captures by image size, type, device and, where they do not hold for all, batch size.

    Attributes:
        model: out of DataParallel and torch.compile.
        example: one image like those that the model takes.
        arithmetic: how it is computed.
        replays: recordings of passes; None where none are wanted.
    """

    def __init__(
        self,
        model: nn.Module,
        example: Float[Tensor, "n c *spatial"],
        arithmetic: Arithmetic = AS_THE_WEIGHTS,
        replays: Replays | None = None,
    ) -> None:
        self.model = untouched.unwrap(model)
        self.example = random_like(checked_images(example)[:1])
        self.arithmetic = arithmetic
        self.replays = replays
        self._begin()

    def _begin(self) -> None:
        self._converted = None if self.arithmetic.dtype is None else Converted(self.arithmetic.dtype)
        # tuples, which are replaced and never changed, because other threads read them meanwhile
        self._captures: dict[Any, tuple[_Capture, ...]] = {}
        self._finite: WeakKeyDictionary[Graph, Any] = WeakKeyDictionary()
        self._written: set[tuple[int, str]] = set()

    def __getstate__(self) -> tuple[nn.Module, Tensor, Arithmetic, Replays | None]:
        return self.model, self.example, self.arithmetic, self.replays

    def __setstate__(self, state: tuple[nn.Module, Tensor, Arithmetic, Replays | None]) -> None:
        """Captures stay behind where a network is sent elsewhere: it is captured anew there, when it is used."""
        self.model, self.example, self.arithmetic, self.replays = state
        self._begin()

    def of(self, model: nn.Module) -> "Captures":
        """The captures of a model that has the same modules and other weights, with those made so far.

        The steps that a model takes do not depend on its weights, so that one capture serves both.

        Args:
            model: a copy of this one, as `stand_in` makes it. Its passes are not recorded.
        """
        other = Captures(model, self.example, self.arithmetic)
        hooks = untouched.hooks_that_may_answer(self.model)
        here = (*untouched.structure(self.model), *hooks.items()), untouched.attributes(self.model)
        there = untouched.structure(model), untouched.attributes(model)
        if there[0] == untouched.structure(self.model):
            other._written = set(self._written)
            for kind, captures in self._captures.items():
                valid = [capture for capture in captures if (capture.structure, capture.attributes) == here]
                shared = tuple(_Capture(other._shared(each.graph), *there, set(each.checked)) for each in valid)
                other._captures.update({kind: shared} if shared else {})
        return other

    def _shared(self, graph: Graph) -> Graph:
        """Another model's capture for this one: the same, unless it holds what was made of the other's weights."""
        if self._converted is None and graph.replays() is None:
            return graph
        return replace(graph, converted=self._converted, replays=lambda: None, ways={}, ups={})

    def graph(self, x: Float[Tensor, "n c *spatial"], *, look_for_nan: bool = True) -> Graph:
        """The capture for these images, made now if there is none or the model has changed.

        Args:
            x: images, as the model takes them.
            look_for_nan: refuse images with NaN or infinity, for which an accelerator has to be waited for.

        Raises:
            ArgumentError: not images of the kind that the model takes.
            CaptureError: the model cannot be captured, or mixes the images of a batch.
            NotFiniteError: NaN or infinity in the images or a weight, as they come or in the type that is computed in.
        """
        self._check_kind(x)
        if look_for_nan and not all_finite(x):
            index = tuple(torch.nonzero(~torch.isfinite(x))[0].tolist())
            raise NotFiniteError(f"the input holds {float(x[index])} at index {index}; every value must be finite.")
        x = self._in_type(x)
        hooks = untouched.hooks_that_may_answer(self.model)
        structure = (*untouched.structure(self.model), *hooks.items())
        attributes = untouched.attributes(self.model)
        kind = (x.shape[1:], x.dtype, x.device)
        for capture in self._captures.get(kind, ()):
            if capture.holds_as_it_is(structure, attributes, len(x)) and _assumptions_hold(capture.graph, self.model):
                self._check_weights(capture.graph)
                capture.used = next(_NEXT_USE)
                return capture.graph
        with _capturing, untouched.computing(), self.arithmetic.held(), untouched.making_tensors_on(x.device):
            return self._looked_for(kind, untouched.ordinary(x), structure, attributes, list(hooks.values()))

    def _in_type(self, x: Tensor) -> Tensor:
        """The images in the type that is computed in, or NotFiniteError where they are too large for it."""
        if self.arithmetic.dtype in (None, x.dtype):
            return x
        try:
            converted = untouched.ordinary(x, self.arithmetic.dtype)
        except TypeError as fault:  # not all devices have all types
            raise ArgumentError(f"precision={self.arithmetic.precision!r} cannot be used: {fault}") from fault
        if not all_finite(converted):
            raise too_large("the input", x, converted.dtype)
        return converted

    def _stand_in(self, *, hooks: bool = False) -> nn.Module:
        """A stand-in of the model in the type that is computed in."""
        return in_type(stand_in(self.model, hooks=hooks), self.arithmetic.dtype)

    def _looked_for(
        self, kind: Any, x: Tensor, structure: tuple[Any, ...], attributes: Mapping[Any, Any], hooked: list[str]
    ) -> Graph:
        """A capture that still holds, or a new one."""
        variants = [capture for capture in self._captures.get(kind, ()) if capture.structure == structure]
        for capture in sorted(variants, key=lambda capture: len(untouched.changed(capture.attributes, attributes))):
            if self._holds(capture, x, attributes):
                capture.used = next(_NEXT_USE)
                return capture.graph
        capture = _Capture(self._new_graph(x, hooked), structure, attributes, {len(x)})
        self._captures[kind] = (*_latest(variants, _MOST_VARIANTS - 1), capture)
        for old in sorted(self._captures, key=lambda kind: max(c.used for c in self._captures[kind]))[:-_MOST_KINDS]:
            del self._captures[old]
        if self.replays is not None:
            captures = chain.from_iterable(self._captures.values())
            self.replays.keep(capture.graph for capture in captures if capture.structure == structure)
        return capture.graph

    def like_model(self) -> Float[Tensor, "1 c *spatial"]:
        """The example in the type and on the device of the model's weights."""
        weight = next((p for p in self.model.parameters() if p.is_floating_point()), self.example)
        return self.example.to(weight.device, weight.dtype)

    def _new_graph(self, x: Tensor, hooked: list[str]) -> Graph:
        truth = self._truth(x)  # first, so that what the model makes once outside its modules is not made of a trace
        graph = self._captured(x)
        self._check_weights(graph)
        self._refuse_hooks_that_matter(graph, x, hooked)
        any_batch = graph.images is None and graph.holds_for(len(x))
        if any_batch and self._agrees(graph, x, truth) and self._keeps_images_apart(graph, x):
            return graph
        graph = self._captured(x, fixed_batch=True)
        if not self._agrees(graph, x):
            raise CaptureError(
                "the captured steps do not compute what the model computes on the same images, as happens when "
                "a model keeps a state or draws random numbers in eval: give a model that computes the same "
                "every time."
            )
        if len(x) > 1 and not unmoved_by_the_rest(graph, self.model, x):
            raise CaptureError(
                "the model mixes the images of a batch (a mean, a sum or a softmax over images), so no image has "
                "a picture of its own: pass one image at a time."
            )
        return graph

    def _captured(self, x: Tensor, *, fixed_batch: bool = False) -> Graph:
        model = self.model if self.arithmetic.dtype is None else self._stand_in()
        graph = tracing.capture(model, x, fixed_batch=fixed_batch)
        replays = (lambda: None) if self.replays is None else ref(self.replays)  # it keeps graphs, they do not keep it
        return replace(graph, converted=self._converted, precision=self.arithmetic.precision, replays=replays)

    def _holds(self, capture: _Capture, x: Tensor, attributes: Mapping[Any, Any]) -> bool:
        """Whether a capture computes what the model computes now, for this number of images.

        An attribute that has changed makes another capture necessary, unless no code reads it or the model writes it
        itself as it runs, as a counter: then it is enough that the model still computes the same.
        """
        graph = capture.graph
        if not graph.holds_for(len(x)) or not _assumptions_hold(graph, self.model):
            return False
        changed = untouched.changed(capture.attributes, attributes) - self._written
        if changed and {name for _, name in changed} & untouched.names_read(self.model):
            return False
        self._check_weights(graph)
        if capture.attributes == attributes and len(x) in capture.checked:
            return True
        at_once = max((n for n in range(1, _CHECKED_UP_TO + 1) if graph.holds_for(n)), default=len(x))
        images = random_like(x if graph.images is not None else x[:at_once])
        if not self._agrees(graph, images):
            return False
        if capture.attributes != attributes:
            capture.checked = set()  # first, for other threads see both
            capture.attributes = attributes
        capture.checked.add(len(x))
        return True

    def _truth(self, x: Tensor) -> Mapping[str, Tensor] | None:
        """What the model gives, before it is captured; None if it fails, of which the capture will say why."""
        try:
            return self._noted_run(with_own(self._stand_in(), "_buffers"), x)
        except CaptureError:
            return None

    def _agrees(self, graph: Graph, x: Tensor, truth: Mapping[str, Tensor] | None = None) -> bool:
        """Whether the steps give what the model gives, or gave."""
        copy = self._stand_in()
        if gives(graph, copy, x, self._noted_run(copy, x) if truth is None else truth):
            return True
        # the weights may have changed in between, if another thread trains the model
        copy = with_own(self._stand_in(), "_parameters", "_buffers")
        return gives(graph, copy, x, self._noted_run(copy, x))

    def _noted_run(self, copy: nn.Module, x: Tensor) -> Mapping[str, Tensor]:
        """What a stand-in gives; the attributes that it writes are noted."""
        before = untouched.attributes(copy)
        truth = outputs_of_model(copy, x)
        self._written |= untouched.changed(before, untouched.attributes(copy))
        return truth

    def _keeps_images_apart(self, graph: Graph, x: Tensor) -> bool:
        """Whether an image in a batch gives the same as alone, in the steps and in the model."""
        others = random_like(x[:1].expand(3, *x.shape[1:]))
        alone = outputs_of(graph, self.model, x[:1])
        among = outputs_of(graph, self.model, torch.cat([others[:1], x[:1], others[1:]]))
        if alone is None or among is None:
            return False
        try:
            agrees = self._agrees(graph, x[:1])
        except CaptureError:  # the model fails on a single image: its steps hold for its number of images only
            return False
        leads = all(value.image_first for value in graph.outputs.values())
        return agrees and leads and all(close(among[name][1:2], alone[name]) for name in graph.outputs)

    def _refuse_hooks_that_matter(self, graph: Graph, x: Tensor, hooked: list[str]) -> None:
        if not hooked:
            return
        with_hooks = outputs_of_model(self._stand_in(hooks=True), x)
        without = outputs_of_model(self._stand_in(), x)
        if not all(close(with_hooks[name], without[name]) for name in without):
            raise CaptureError(
                f"the hooks on {', '.join(map(repr, hooked[:3]))} change what the model computes, and hooks are "
                "left out of a capture: move that into the model's forward, or remove them."
            )

    def _check_kind(self, x: Tensor) -> None:
        checked_images(x)
        if x.ndim != self.example.ndim:
            raise ArgumentError(
                f"images come as (n, c, *spatial) with {self.example.ndim} axes; got shape {tuple(x.shape)}"
                + (" (add the batch axis: x[None])." if x.ndim == self.example.ndim - 1 else ".")
            )
        if x.shape[1] != self.example.shape[1]:
            raise ArgumentError(f"the network takes {self.example.shape[1]} channels; got {x.shape[1]}.")
        weight = next((p for p in self.model.parameters() if p.is_floating_point()), None)
        wanted = x.dtype if weight is None or self.arithmetic.precision is not None else weight.dtype
        if weight is not None and (wanted, weight.device) != (x.dtype, x.device):
            raise ArgumentError(
                f"the model's weights are {weight.dtype} on {weight.device}, the images {x.dtype} on "
                f"{x.device}: pass x.to({str(weight.device)!r}, {weight.dtype})."
            )

    def _check_weights(self, graph: Graph) -> None:
        """Refuse weights with NaN or infinity; looked at again only when one of them has changed.

        A buffer may hold infinity where nothing is filtered or divided by it: a mask of attention, a clamp's bounds.
        """
        weights = weights_of(self.model, graph.weights, graph.converted)
        state = tuple((name, w.data_ptr(), untouched.version(w)) for name, w in weights.items())
        if state == self._finite.get(graph):
            return
        open_ended = {name for name, _ in self.model.named_buffers()} - _multiplying(graph)
        for name, weight in weights.items():
            whole = without_nan if graph.weights[name] in open_ended else all_finite
            if weight.is_floating_point() and not whole(weight):
                own, what = weights_of(self.model, graph.weights)[name], f"the weight '{graph.weights[name]}'"
                if all_finite(own):
                    raise too_large(what, own, weight.dtype)
                raise NotFiniteError(f"{what} holds NaN or infinity; load the model's weights again.")
        self._finite[graph] = state


def checked_images(x: Any) -> Tensor:
    """Images as they came.

    Raises:
        ArgumentError: not a dense floating-point tensor (n, c, *spatial) with one to three spatial axes.
    """
    if not isinstance(x, Tensor):
        raise ArgumentError(f"images come as one tensor (n, c, *spatial); got {type(x).__name__}.")
    if x.is_meta or x.is_quantized or x.layout != torch.strided:
        kind = "on meta" if x.is_meta else "that is quantized" if x.is_quantized else f"that is {x.layout}"
        raise ArgumentError(f"images come as a dense tensor of numbers; got one {kind}.")
    if not x.is_floating_point():
        raise ArgumentError(f"images are floating-point numbers; got {x.dtype}: preprocess them first.")
    if not 3 <= x.ndim <= 5 or 0 in x.shape:
        raise ArgumentError(
            "images come as (n, c, *spatial) with one to three spatial axes, none of them empty; got shape "
            f"{tuple(x.shape)}."
            + (
                " For sounds that come as (n, samples), attach nn.Sequential(nn.Flatten(), model) to x[:, None]."
                if x.ndim == 2 and x.numel()
                else ""
            )
        )
    return x


def _multiplying(graph: Graph) -> set[str]:
    """The weights that filters and norms are made of, under the model's names."""
    steps = [step for step in graph.steps if (row := row_of(step, operations.rows)).filters or row.norms]
    read = {value.name for step in steps for value in values_in(step.arguments)}
    return {dotted for name, dotted in graph.weights.items() if name in read}


def _latest(captures: list[_Capture], most: int) -> list[_Capture]:
    return sorted(captures, key=lambda capture: capture.used)[-most:]


def _assumptions_hold(graph: Graph, model: nn.Module) -> bool:
    """Whether the buffers by which a rectifier was recognised still hold the number they did."""
    assumed = {name: graph.weights[name] for name in graph.assumed}
    return all(bool((tensor == graph.assumed[name]).all()) for name, tensor in weights_of(model, assumed).items())
