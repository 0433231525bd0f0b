"""An exported program read as a `Graph`. This module and `trace` are the only ones that know torch.export."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from operator import attrgetter, getitem
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.fx import Node

from deconvnet._errors import CaptureError
from deconvnet.capture.recognise import recognise
from deconvnet.core.graph import Graph, Size, Step, Value, towards, values_in
from deconvnet.core.operations import operations, row_of
from deconvnet.core.weights import weights_of

DATA_DEPENDENT = (
    "the model's way depends on the values of its input (an `if`, a loop or an index computed from activations), "
    "so its steps are not a fixed list: {} Give the part of the model that computes the same steps for every image."
)


_VIEWS = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default)


def _reshaped(self: Tensor, size: Sequence[int]) -> Tensor:
    """A view, or a copy where a kernel has laid its result out otherwise than the trace foresaw."""
    return self.reshape(tuple(size))


class ProgramReader:
    """Reads an exported program into a `Graph`."""

    def __init__(
        self, program: ExportedProgram, operations: fx.Graph, aliases: Mapping[str, str], model: nn.Module
    ) -> None:
        signature = program.graph_signature
        if signature.buffers_to_mutate:
            name = next(iter(signature.buffers_to_mutate.values())).removeprefix("model.")
            raise CaptureError(
                f"the model changes its buffer '{name}' as it runs, so looking at it would change it: "
                "give a model whose forward pass leaves its buffers alone."
            )
        self.program, self.operations, self.aliases = program, operations, aliases
        held = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self.weights = {name: dotted.removeprefix("model.") for name, dotted in held.items()}
        self.parameters = set(signature.inputs_to_parameters)
        lifted = signature.inputs_to_lifted_tensor_constants
        attributes = {name: dotted.removeprefix("model.") for name, dotted in lifted.items()}
        self.weights.update({n: dotted for n, dotted in attributes.items() if _has_tensor(model, dotted)})
        self.tensors = {n: program.constants[lifted[n]] for n in lifted if n not in self.weights}
        self.fixed = {**self.tensors, **weights_of(model, self.weights)}
        self.values: dict[Node, Value] = {}
        self.results: dict[Node, Step] = {}
        self.steps: list[Step] = []
        self.constants: dict[str, Step] = {}
        self.contents: dict[str, float | None] = {}
        self.assumed: dict[str, float] = {}
        self.symbol: Any = None

    def graph(self) -> Graph:
        """The program as steps."""
        given = self.operations.find_nodes(op="placeholder")
        entries = set(self.program.graph_signature.user_inputs)
        (entry,) = [node for node in given if node.name in entries]
        batch = entry.meta["val"].shape[0]
        if isinstance(batch, torch.SymInt) and batch.node.expr.free_symbols:  # else it became a number on the way
            self.symbol = batch.node.expr
        for node in given:
            self.values[node] = self._value(node, signal=node is entry, varies=node is entry)
        for node in self.operations.nodes:
            if node.op == "call_function":
                self._read(node)
        outputs, layers = self._names()
        if not outputs:
            raise CaptureError(
                "the model's forward returns None, or nothing with a tensor in it: is a `return` missing? It has to "
                "return its scores as a tensor, or as a tuple, list or dictionary that holds them."
            )
        wanted = [value.name for value in (*outputs.values(), *layers.values())]
        steps = towards(recognise(self.steps, self._content), wanted)
        layers, cut_off = _all_names(layers, self.values[entry], steps)
        return Graph(
            input=self.values[entry],
            steps=tuple(steps),
            constants=tuple(self.constants.values()),
            weights=self.weights,
            tensors=self.tensors,
            layers=layers,
            cut_off=cut_off,
            outputs=outputs,
            images=None if self.symbol is not None else int(batch),
            holds_for=self._holds_for(batch),
            assumed=self.assumed,
            device=entry.meta["val"].device.type,
        )

    def _read(self, node: Node) -> None:
        """One node of the traced graph: a number, one of several results, or a step."""
        result = node.meta.get("val")
        if result is None or isinstance(result, int | float | bool | torch.SymInt):
            return  # an assertion, or a number that `_argument` reads where it is used
        if node.target is getitem:
            source, index = node.args
            assert isinstance(source, Node)
            self._add(node, _pick(self.results[source], index))
            return
        if not isinstance(node.target, torch._ops.OpOverload):
            raise CaptureError(f"the model calls {node.target}, which is not an operation on tensors.")
        arguments = self._arguments(node)
        operation = node.target._schema.name.replace("::", ".").replace("_with_indices", "")
        module = _module_of(node)
        seeded = torch.Tag.nondeterministic_seeded in node.target.tags
        if seeded and not any(arguments.get(name, 1) in (False, 0.0) for name in ("train", "training", "dropout_p")):
            raise CaptureError(
                f"'{module or 'the model itself'}' draws random numbers ({operation}) although the model "
                "is in eval: pass `training=self.training` to functional dropout."
            )
        statistics = operation == "aten.instance_norm" and not arguments["use_input_stats"]
        if operation == "aten._native_batch_norm_legit_no_training" or statistics:
            operation = "batch_norm"  # an instance norm that keeps statistics is one in eval
        function = _reshaped if node.target in _VIEWS else node.target
        step = Step(operation, _NOWHERE, function, arguments, tuple(values_in(arguments)), module)
        if isinstance(result, Tensor):
            self._add(node, step)
        else:
            self.results[node] = step

    def _add(self, node: Node, step: Step) -> None:
        """Note the step that makes a node's value: among the constants if nothing of the input reaches it."""
        filled = row_of(step, operations.rows).filled
        varies = any(value.varies for value in step.inputs) or any(
            isinstance(size, torch.SymInt) for size in node.meta["val"].shape
        )
        signal = any(value.signal for value in step.inputs) and filled is None
        of_images = any(value.of_images for value in step.inputs) and filled is None
        self.values[node] = value = replace(self._value(node, signal=signal, varies=varies), of_images=of_images)
        step = replace(step, output=value, inputs=tuple(v for v in step.inputs if v.varies))
        if filled is not None:
            content = step.arguments.get(filled) if isinstance(filled, str) else filled
            self.contents[value.name] = content if isinstance(content, int | float) else None
        if varies:
            self.steps.append(step)
        else:
            self.constants[value.name] = step

    def _value(self, node: Node, *, signal: bool, varies: bool) -> Value:
        tensor = node.meta["val"]
        if not isinstance(tensor, Tensor):
            return Value(node.name, (), False, varies, of_images=varies)
        real = tensor.is_floating_point() or tensor.is_complex()
        return Value(node.name, tuple(map(self._size, tensor.shape)), signal and real, varies, tensor.dtype, varies)

    def _size(self, length: int | torch.SymInt) -> Size:
        if isinstance(length, int):
            return Size(length)
        expression = length.node.expr
        if expression.is_Integer:
            return Size(int(expression))
        if expression.free_symbols - {self.symbol}:
            raise CaptureError(
                DATA_DEPENDENT.format(f"an axis has a length that is only known as it runs ({expression}).")
            )
        fixed, per_image = expression.subs(self.symbol, 0), expression.coeff(self.symbol, 1)
        if expression != fixed + per_image * self.symbol or not fixed.is_Integer:
            raise CaptureError(
                f"the model has an axis of length {expression}, which is not a multiple of the batch size."
            )
        return Size(int(fixed), int(per_image))

    def _arguments(self, node: Node) -> dict[str, Any]:
        schema = node.target._schema.arguments  # type: ignore[union-attr]  # an OpOverload, checked above
        given = {**dict(zip((a.name for a in schema), node.args, strict=False)), **node.kwargs}
        return {a.name: self._argument(given.get(a.name, a.default_value)) for a in schema}

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, Node):
            result = argument.meta["val"]
            if isinstance(result, torch.SymInt):
                return self._size(result)
            return result if isinstance(result, int | float | bool) else self.values[argument]
        if isinstance(argument, list | tuple):
            return [self._argument(inner) for inner in argument]
        return argument

    def _content(self, value: Value) -> float | None:
        """The one number that a constant is filled with, if a rectifier may be recognised by it."""
        if value.name not in self.contents:
            self.contents[value.name] = self._filled_with(value)
        return self.contents[value.name]

    def _filled_with(self, value: Value) -> float | None:
        if value.varies or value.name in self.parameters:
            return None
        if value.name in self.constants:
            step = self.constants[value.name]
            inner = [self._content(v) for v in values_in(step.arguments)]
            return inner[0] if row_of(step, operations.rows).copies and len(inner) == 1 else None
        tensor = self.fixed[value.name]
        if not tensor.numel() or not bool((tensor == tensor.flatten()[0]).all()):
            return None
        content = float(tensor.flatten()[0])
        if value.name in self.weights:
            self.assumed[value.name] = content
        return content

    def _holds_for(self, batch: int | torch.SymInt) -> Callable[[int], bool]:
        """Whether the steps hold for a number of images: what torch.export had to assume of it to trace the model.

        It traces two images or more; whether a single one takes the same way is seen by running it.
        """
        if isinstance(batch, int) or self.symbol is None:
            only = int(batch)
            return lambda images: images == only
        symbol, most = self.symbol, self.program.range_constraints[self.symbol].upper
        assumed = getattr(batch.node.shape_env, "guards", ())
        guards = [guard.expr for guard in assumed if guard.expr.free_symbols == {symbol}]

        def holds_for(images: int) -> bool:
            return images == 1 or (bool(images <= most) and all(bool(guard.subs(symbol, images)) for guard in guards))

        return cache(holds_for)

    def _names(self) -> tuple[dict[str, Value], dict[str, Value]]:
        """What the model returned, and what each of its modules returned, by name."""
        nodes: Any = self.operations.output_node().args[0]
        outputs, returned = torch.utils._pytree.tree_unflatten(list(nodes), self.program.call_spec.out_spec)
        layers = {name: self.values[clone.args[0]] for name, clone in returned.items()}
        layers.update({name: layers[other] for name, other in self.aliases.items()})
        return {name: self.values[node] for name, node in outputs.items()}, layers


_NOWHERE = Value("", (), False, False)


def _pick(step: Step, index: Any) -> Step:
    """A step that makes one of several results."""
    return replace(step, function=_Picked(step.function, index))


@dataclass(frozen=True)
class _Picked:
    """One of the results of a function."""

    function: Callable[..., Any]
    index: Any

    def __call__(self, /, **arguments: Any) -> Any:
        return self.function(**arguments)[self.index]


def _module_of(node: Node) -> str:
    stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    paths = [path for path in stack if path == "model" or path.startswith("model.")]
    return re.sub(r"@\d+", "", paths[-1].removeprefix("model").removeprefix(".")) if paths else ""


def _all_names(layers: dict[str, Value], entry: Value, steps: list[Step]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Every layer's name in the order of the steps, of those with a signal and of the others.

    What no module returned is called `module/operation`.
    """
    modules: dict[str, list[str]] = {}
    for name, value in layers.items():
        modules.setdefault(value.name, []).append(name)
    named = dict.fromkeys(modules.get(entry.name, []), entry)
    calls: Counter[str] = Counter()
    for step in steps:
        names = modules.get(step.output.name)
        if names is None:
            name = f"{step.module}/{step.operation.removeprefix('aten.')}"
            calls[name] += 1
            names = [name + (f"#{calls[name]}" if calls[name] > 1 else "")]
        named.update(dict.fromkeys(names, step.output))
    of_images = {
        name: value
        for name, value in named.items()
        if value.image_first or (not entry.image_first and value.shape[:1] == entry.shape[:1])
    }
    signals = {name: value for name, value in of_images.items() if value.signal}
    return signals, {name: value for name, value in of_images.items() if not value.signal}


def _has_tensor(model: nn.Module, dotted: str) -> bool:
    """Whether a tensor that is neither parameter nor buffer can be read from the model itself."""
    try:
        return isinstance(attrgetter(dotted)(model), Tensor)
    except AttributeError:
        return False
