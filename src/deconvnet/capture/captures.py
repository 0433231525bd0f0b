"""The captures of one model: made for each new input size, checked against the model, kept while they are valid.

A capture is a claim: these steps compute what the model computes, image by image. Before it is used
for a number of images it is held against the model itself, so a model that branches on the batch
size, mixes its images or is changed by hooks is captured anew or refused, and never shown wrongly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deconvnet._errors import ArgumentError, CaptureError, NotFiniteError
from deconvnet.capture import trace as tracing
from deconvnet.capture import untouched
from deconvnet.core.finite import all_finite
from deconvnet.core.graph import Graph
from deconvnet.core.rules import RuleSet
from deconvnet.core.up import forward
from deconvnet.core.weights import weights_of

_CHECKED_UP_TO = 16  # images; for more, `Graph.holds_for` says whether they take the same way
_MOST_VARIANTS, _MOST_KINDS = 4, 64  # captures that are kept of one kind of images, and kinds


@dataclass(eq=False)
class _Capture:
    """A capture, and what it was last checked against.

    Attributes:
        graph: the capture.
        structure: of the model and its hooks, when it was made.
        attributes: of the modules, when it was last held against the model.
        checked: the numbers of images for which it was.
    """

    graph: Graph
    structure: tuple[Any, ...]
    attributes: Mapping[Any, Any]
    checked: set[int]


class Captures:
    """A model and its captures by image size, type, device and, where they do not hold for all, batch size.

    Attributes:
        model: out of DataParallel and torch.compile.
        example: one image like those that the model takes.
        ways: by graph, whatever was worked out for it; gone with the graph.
    """

    def __init__(self, model: nn.Module, example: Float[Tensor, "n c *spatial"]) -> None:
        self.model = untouched.unwrap(model)
        self.example = _random_like(checked_images(example)[:1])
        self.ways: dict[Graph, dict[Any, Any]] = {}
        self._captures: dict[Any, list[_Capture]] = {}
        self._finite: dict[Graph, Any] = {}
        self._written: set[tuple[int, str]] = set()

    def graph(self, x: Float[Tensor, "n c *spatial"]) -> Graph:
        """The capture for these images, made now if there is none or the model has changed.

        Raises:
            ArgumentError: not images of the kind that the model takes.
            CaptureError: the model cannot be captured, or mixes the images of a batch.
        """
        self._check_kind(x)
        hooks = untouched.hooks_that_may_answer(self.model)
        structure = (*untouched.structure(self.model), *hooks.items())
        attributes = untouched.attributes(self.model)
        kind = (x.shape[1:], x.dtype, x.device)
        variants = self._captures.get(kind, [])
        self._forget([capture for capture in variants if capture.structure != structure], variants)
        for capture in sorted(variants, key=lambda capture: len(untouched.changed(capture.attributes, attributes))):
            if self._holds(capture, x, attributes):
                self._keep(kind, capture)
                return capture.graph
        with untouched.computing():
            graph = self._new_graph(untouched.ordinary(x), list(hooks.values()))
        self._keep(kind, _Capture(graph, structure, attributes, {len(x)}))
        return graph

    def like_model(self) -> Float[Tensor, "1 c *spatial"]:
        """The example in the type and on the device of the model's weights."""
        weight = next((p for p in self.model.parameters() if p.is_floating_point()), self.example)
        return self.example.to(weight.device, weight.dtype)

    def _keep(self, kind: Any, capture: _Capture) -> None:
        """Keep a capture as the one that was used last, and forget those that were not used for long."""
        variants = self._captures.pop(kind, [])
        self._captures[kind] = [*(other for other in variants if other is not capture), capture]
        self._forget(self._captures[kind][:-_MOST_VARIANTS], self._captures[kind])
        for old in list(self._captures)[:-_MOST_KINDS]:
            self._forget(list(self._captures[old]), self._captures.pop(old))

    def _forget(self, captures: list[_Capture], among: list[_Capture]) -> None:
        for capture in captures:
            among.remove(capture)
            self.ways.pop(capture.graph, None)
            self._finite.pop(capture.graph, None)

    def _new_graph(self, x: Tensor, hooked: list[str]) -> Graph:
        graph = tracing.capture(self.model, x)
        self._check_weights(graph)
        self._refuse_hooks_that_matter(graph, x, hooked)
        any_batch = graph.images is None and graph.holds_for(len(x))
        if any_batch and self._agrees(graph, x) and self._keeps_images_apart(graph, x):
            return graph
        graph = tracing.capture(self.model, x, fixed_batch=True)
        if not self._agrees(graph, x):
            raise CaptureError(
                "the captured steps do not compute what the model computes on the same images, as happens when "
                "a model keeps a state or draws random numbers in eval: give a model that computes the same "
                "every time."
            )
        if len(x) > 1 and not self._unmoved_by_the_rest(graph, x):
            raise CaptureError(
                "the model mixes the images of a batch (a mean, a sum or a softmax over images), so no image has "
                "a picture of its own: pass one image at a time."
            )
        return graph

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
        images = _random_like(x if graph.images is not None else x[:at_once])
        with untouched.computing():
            if not self._agrees(graph, images):
                return False
        if capture.attributes != attributes:
            capture.attributes, capture.checked = attributes, set()
        capture.checked.add(len(x))
        return True

    def _agrees(self, graph: Graph, x: Tensor) -> bool:
        """Whether the steps give what the model gives; the attributes that the model writes are noted."""
        with untouched.undisturbed(self.model):
            before = untouched.attributes(self.model)
            truth = dict(tracing.named_outputs(self.model(x.clone())))
            self._written |= untouched.changed(before, untouched.attributes(self.model))
        outputs = self._outputs(graph, x)
        if outputs is None or truth.keys() != graph.outputs.keys():
            return False
        return all(_close(outputs[name], truth[name]) for name in graph.outputs)

    def _keeps_images_apart(self, graph: Graph, x: Tensor) -> bool:
        """Whether an image in a batch gives the same as alone, in the steps and in the model."""
        others = _random_like(x[:1].expand(3, *x.shape[1:]))
        alone = self._outputs(graph, x[:1])
        among = self._outputs(graph, torch.cat([others[:1], x[:1], others[1:]]))
        if alone is None or among is None or not self._agrees(graph, x[:1]):
            return False
        leads = [graph.outputs[name].image_first for name in graph.outputs]
        return all(leads) and all(_close(among[name][1:2], alone[name]) for name in graph.outputs)

    def _unmoved_by_the_rest(self, graph: Graph, x: Tensor) -> bool:
        """Whether the first and the last image give the same when all the others are changed."""
        before, rest = self._outputs(graph, x), x.flip(0) + 1
        for image in (0, -1):
            changed = rest.clone()
            changed[image] = x[image]
            after = self._outputs(graph, changed)
            if before is None or after is None:
                return False
            for name in graph.outputs:
                if len(before[name]) != len(x) or not _close(before[name][image], after[name][image]):
                    return False
        return True

    def _outputs(self, graph: Graph, x: Tensor) -> Mapping[str, Tensor] | None:
        """What the steps give, by output name; None if they do not run on these images."""
        wanted = frozenset(value.name for value in graph.outputs.values())
        try:
            trace = forward(graph, self.model, x, wanted, RuleSet(), {})
        except (RuntimeError, IndexError, ValueError):
            return None
        return {name: trace.values[value.name] for name, value in graph.outputs.items()}

    def _refuse_hooks_that_matter(self, graph: Graph, x: Tensor, hooked: list[str]) -> None:
        if not hooked:
            return
        with untouched.evaluating(self.model):
            with_hooks = dict(tracing.named_outputs(self.model(x.clone())))
        with untouched.undisturbed(self.model):
            without = dict(tracing.named_outputs(self.model(x.clone())))
        if not all(_close(with_hooks[name], without[name]) for name in without):
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
        if weight is not None and (weight.dtype, weight.device) != (x.dtype, x.device):
            raise ArgumentError(
                f"the model's weights are {weight.dtype} on {weight.device}, the images {x.dtype} on "
                f"{x.device}: pass x.to({str(weight.device)!r}, {weight.dtype})."
            )
        if not all_finite(x):
            index = tuple(torch.nonzero(~torch.isfinite(x))[0].tolist())
            raise NotFiniteError(f"the input holds {float(x[index])} at index {index}; every value must be finite.")

    def _check_weights(self, graph: Graph) -> None:
        """Refuse weights with NaN or infinity; looked at again only when one of them has changed."""
        weights = weights_of(self.model, graph.weights)
        state = tuple((name, w.data_ptr(), untouched.version(w)) for name, w in weights.items())
        if state == self._finite.get(graph):
            return
        for name, weight in weights.items():
            if weight.is_floating_point() and not all_finite(weight):
                raise NotFiniteError(
                    f"the weight '{graph.weights[name]}' holds NaN or infinity; load the model's weights again."
                )
        self._finite[graph] = state


def checked_images(x: Any) -> Tensor:
    """Images as they came.

    Raises:
        ArgumentError: not a floating-point tensor (n, c, *spatial) with one to three spatial axes.
    """
    if not isinstance(x, Tensor):
        raise ArgumentError(f"images come as one tensor (n, c, *spatial); got {type(x).__name__}.")
    if not x.is_floating_point():
        raise ArgumentError(f"images are floating-point numbers; got {x.dtype}: preprocess them first.")
    if not 3 <= x.ndim <= 5 or 0 in x.shape:
        raise ArgumentError(
            "images come as (n, c, *spatial) with one to three spatial axes, none of them empty; got shape "
            f"{tuple(x.shape)}."
        )
    return x


def _random_like(x: Tensor) -> Tensor:
    """Random numbers of the same shape, type and device, the same every time."""
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x.device, x.dtype)


def _assumptions_hold(graph: Graph, model: nn.Module) -> bool:
    """Whether the buffers by which a rectifier was recognised still hold the number they did."""
    assumed = {name: graph.weights[name] for name in graph.assumed}
    return all(bool((tensor == graph.assumed[name]).all()) for name, tensor in weights_of(model, assumed).items())


def _close(a: Tensor, b: Tensor) -> bool:
    """Whether two results agree up to the rounding of sums in another order."""
    if a.shape != b.shape:
        return False
    loose = 1e-2 if a.element_size() < 4 else 1e-4 if a.element_size() == 4 else 1e-9
    finite = b[torch.isfinite(b)]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(a, b, rtol=loose, atol=loose * scale, equal_nan=True)
