"""Model → steps, once per model and input size. The only module that knows torch.export.

The model is traced on tensors without data. What comes back is a flat list of steps, each with the
arguments of one ATen operation; the weights stay where they are, in the user's model, and are read
anew at every forward pass. The model is left as it was found, also after an error.
"""

import dis
import logging
import re
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from io import StringIO
from operator import attrgetter, getitem
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export
from torch.fx import Node
from torch.nn.utils import prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from deconvnet._errors import CaptureError
from deconvnet._types import Size, Step, Value
from deconvnet.capture.recognise import recognise

_WEIGHT_HOOKS = (WeightNorm, SpectralNorm, prune.BasePruningMethod)
_HOOKS = tuple(name for name in vars(nn.Module()) if name.endswith("_hooks") or name.endswith("_hooks_with_kwargs"))
_FILLED = {
    "zeros": 0.0, "zeros_like": 0.0, "new_zeros": 0.0, "ones": 1.0, "ones_like": 1.0, "new_ones": 1.0,
    "full": None, "full_like": None, "new_full": None, "scalar_tensor": None,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as steps, for one input size.

    Attributes:
        input: what the network is given.
        steps: those that depend on the input, each after those that it needs.
        constants: those that depend on weights alone, to be run first.
        weights: name of a value -> dotted name in the model.
        tensors: name of a value -> a tensor that the model made of its own.
        layers: layer name -> the value that the layer gave.
        outputs: name of an output ("" if it is the only one) -> its value.
        images: the only batch size that the steps hold for; None for any.
        assumed: name of a weight -> the one number it was filled with when a rectifier was
            recognised by it.
    """

    input: Value
    steps: tuple[Step, ...]
    constants: tuple[Step, ...]
    weights: Mapping[str, str]
    tensors: Mapping[str, Tensor]
    layers: Mapping[str, Value]
    outputs: Mapping[str, Value]
    images: int | None
    assumed: Mapping[str, float]


def unwrap(model: nn.Module) -> nn.Module:
    """The user's own module out of DataParallel, DistributedDataParallel and torch.compile.

    Raises:
        CaptureError: it is no module, or one of a kind that cannot be captured.
    """
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]  # what torch.compile wraps
        else:
            break
    if not isinstance(model, nn.Module):
        raise CaptureError(f"the model is a torch.nn.Module; got {type(model).__name__}.")
    if isinstance(model, torch.jit.ScriptModule):
        raise CaptureError("a ScriptModule cannot be captured: give the Python model it was made from.")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise CaptureError(f"layer '{name}' is a ScriptModule, which cannot be captured: give the Python module.")
        if any(isinstance(p, nn.UninitializedParameter) for p in module._parameters.values()):
            raise CaptureError(f"layer '{name}' is lazy and has no weights yet: run the model once on an image first.")
    return model


def capture(model: nn.Module, example: Tensor, *, fixed_batch: bool = False, copies: bool = False) -> Graph:
    """The steps of a model in eval, for images of the size of `example`.

    Args:
        model: unwrapped; left as it was found.
        example: (n, c, *spatial); only shape, dtype and device count.
        fixed_batch: the steps need hold for this batch size only.
        copies: the model is given a copy, because it changes its input.

    Raises:
        CaptureError: with what torch.export says, in one sentence, and what to do.
    """
    images = len(example) if fixed_batch else 2
    probe = torch.zeros((images, *example.shape[1:]), dtype=example.dtype, device=example.device)
    recording = _Recording(model, copies=copies)
    with undisturbed(model), computing(), _quiet():
        _exportable(model)
        try:
            shapes = None if fixed_batch else ({0: Dim.AUTO},)
            program = export(recording, (probe,), dynamic_shapes=shapes, strict=False)
            program = program.run_decompositions({})
        except Exception as error:
            raise CaptureError(_explain(error, example)) from error
    if program.graph_signature.user_inputs_to_mutate:
        return capture(model, example, fixed_batch=fixed_batch, copies=True)
    graph = _Reader(program, recording, model).graph()
    if graph.images is not None and not fixed_batch:
        return capture(model, example, fixed_batch=True, copies=copies)
    return graph


def _exportable(model: nn.Module) -> None:
    """Put ordinary copies in the place of weights made under inference mode; `undisturbed` puts them back."""
    for module in model.modules():
        several: list[dict[str, Any]] = [module._parameters, module._buffers]
        for weights in several:
            for name, weight in weights.items():
                if weight is not None and weight.is_inference():
                    copy = weight.clone()
                    weights[name] = nn.Parameter(copy) if weights is module._parameters else copy


class _Aliases:
    """Layer name -> the layer that gave the very same tensor; torch.export would undo changes to a dict."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}


class _Recording(nn.Module):
    """The model, returning beside its output what each of its modules returned.

    Each tensor is cloned as it is returned, so that a later in-place operation does not change it;
    the clone's argument in the traced graph is then exactly the value that the module gave.
    """

    def __init__(self, model: nn.Module, *, copies: bool) -> None:
        super().__init__()
        self.model, self.copies = model, copies
        self.aliases = _Aliases()

    def forward(self, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        returned: dict[str, Tensor] = {}
        seen: dict[int, tuple[Tensor, int, str]] = {}
        calls: Counter[str] = Counter()

        def keep(name: str, tensor: Any) -> None:
            if not isinstance(tensor, Tensor):
                return
            known = seen.get(id(tensor))
            if known is not None and known[1] == version(tensor):
                self.aliases.of[name] = known[2]
            else:
                seen[id(tensor)] = (tensor, version(tensor), name)
                returned[name] = tensor.clone()

        def record(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
            calls[name] += 1
            name += f"#{calls[name]}" if calls[name] > 1 else ""
            if isinstance(output, Tensor):
                keep(name, output)
            elif isinstance(output, tuple | list):
                for i, tensor in enumerate(output):
                    keep(f"{name}[{i}]", tensor)
            elif isinstance(output, dict):
                for key, tensor in output.items():
                    keep(f"{name}[{key}]", tensor)

        # the name is bound here: inside a trace, a module that has two names is not itself
        handles = [
            module.register_forward_hook(partial(record, name)) for name, module in self.model.named_modules() if name
        ]
        try:
            outputs = dict(named_outputs(self.model(x.clone() if self.copies else x)))
        finally:
            for handle in handles:
                handle.remove()
        return outputs, returned


def named_outputs(output: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in what a model returned, each with the way to it: "out", "0", "aux.logits"."""
    if isinstance(output, Tensor):
        yield name, output
        return
    if isinstance(output, Mapping):
        inner: list[tuple[Any, Any]] = list(output.items())
    elif is_dataclass(output):
        inner = [(field.name, getattr(output, field.name)) for field in fields(output)]
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        inner = list(zip(output._fields, output, strict=True))
    elif isinstance(output, tuple | list):
        inner = list(enumerate(output))
    else:
        return
    for key, value in inner:
        yield from named_outputs(value, f"{name}.{key}" if name else str(key))


class _Reader:
    """Reads an exported program into a `Graph`."""

    def __init__(self, program: ExportedProgram, recording: _Recording, model: nn.Module) -> None:
        signature = program.graph_signature
        if signature.buffers_to_mutate:
            name = next(iter(signature.buffers_to_mutate.values())).removeprefix("model.")
            raise CaptureError(
                f"the model changes its buffer '{name}' as it runs, so looking at it would change it: "
                "give a model whose forward pass leaves its buffers alone."
            )
        self.program, self.recording = program, recording
        held = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self.weights = {name: dotted.removeprefix("model.") for name, dotted in held.items()}
        self.parameters = set(signature.inputs_to_parameters)
        lifted = signature.inputs_to_lifted_tensor_constants
        attributes = {name: dotted.removeprefix("model.") for name, dotted in lifted.items()}
        self.weights.update({n: dotted for n, dotted in attributes.items() if _has_tensor(model, dotted)})
        self.tensors = {n: program.constants[lifted[n]] for n in lifted if n not in self.weights}
        self.known = {**self.tensors, **weights_of(model, self.weights)}
        self.values: dict[Node, Value] = {}
        self.several: dict[Node, Step] = {}
        self.steps: list[Step] = []
        self.constants: dict[str, Step] = {}
        self.numbers: dict[str, float | None] = {}
        self.assumed: dict[str, float] = {}

    def graph(self) -> Graph:
        given = self.program.graph.find_nodes(op="placeholder")
        entries = set(self.program.graph_signature.user_inputs)
        (entry,) = [node for node in given if node.name in entries]
        batch = entry.meta["val"].shape[0]
        self.symbol = None if isinstance(batch, int) else batch.node.expr
        for node in given:
            self.values[node] = self._value(node, signal=node is entry, varies=node is entry)
        for node in self.program.graph.nodes:
            if node.op == "call_function":
                self._read(node)
        outputs, layers = self._names()
        steps = _needed(recognise(self.steps, self._number), [*outputs.values(), *layers.values()])
        return Graph(
            input=self.values[entry],
            steps=tuple(steps),
            constants=tuple(self.constants.values()),
            weights=self.weights,
            tensors=self.tensors,
            layers=_all_names(layers, self.values[entry], steps),
            outputs=outputs,
            images=None if self.symbol is not None else int(batch),
            assumed=self.assumed,
        )

    def _read(self, node: Node) -> None:
        """One node of the traced graph: a number, one of several results, or a step."""
        result = node.meta.get("val")
        if result is None or isinstance(result, int | float | bool | torch.SymInt):
            return  # an assertion, or a number that `_argument` reads where it is used
        if node.target is getitem:
            source, number = node.args
            assert isinstance(source, Node)
            self._add(node, _pick(self.several[source], number))
            return
        if not isinstance(node.target, torch._ops.OpOverload):
            raise CaptureError(f"the model calls {node.target}, which is no operation on tensors.")
        arguments = self._arguments(node)
        operation = node.target._schema.name.replace("::", ".").replace("_with_indices", "")
        module = _module_of(node)
        seeded = torch.Tag.nondeterministic_seeded in node.target.tags
        if seeded and not any(arguments.get(name, 1) in (False, 0.0) for name in ("train", "training", "dropout_p")):
            raise CaptureError(
                f"'{module or 'the model itself'}' draws random numbers ({operation}) although the model "
                "is in eval: pass `training=self.training` to functional dropout."
            )
        if operation == "aten._native_batch_norm_legit_no_training":
            operation = "batch_norm"
        step = Step(operation, _NOWHERE, node.target, arguments, tuple(_inside(arguments)), module)
        if isinstance(result, Tensor):
            self._add(node, step)
        else:
            self.several[node] = step

    def _add(self, node: Node, step: Step) -> None:
        """Note the step that makes a node's value: among the constants if nothing of the input reaches it."""
        short = step.operation.removeprefix("aten.")
        varies = any(value.varies for value in step.inputs) or any(
            isinstance(size, torch.SymInt) for size in node.meta["val"].shape
        )
        signal = any(value.signal for value in step.inputs) and short not in _FILLED
        self.values[node] = value = self._value(node, signal=signal, varies=varies)
        step = replace(step, output=value, inputs=tuple(v for v in step.inputs if v.varies))
        if short in _FILLED:
            number = _FILLED[short] if _FILLED[short] is not None else step.arguments.get("fill_value")
            self.numbers[value.name] = number if isinstance(number, int | float) else None
        if varies:
            self.steps.append(step)
        else:
            self.constants[value.name] = step

    def _value(self, node: Node, *, signal: bool, varies: bool) -> Value:
        tensor = node.meta["val"]
        if not isinstance(tensor, Tensor):
            return Value(node.name, (), False, varies)
        real = tensor.is_floating_point() or tensor.is_complex()
        return Value(node.name, tuple(map(self._size, tensor.shape)), signal and real, varies)

    def _size(self, length: int | torch.SymInt) -> Size:
        if isinstance(length, int):
            return Size(length)
        expression = length.node.expr
        if expression.free_symbols - {self.symbol}:
            raise CaptureError(
                _DATA_DEPENDENT.format(f"an axis has a length that is only known as it runs ({expression}).")
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

    def _number(self, value: Value) -> float | None:
        """The one number that a constant is filled with, if a rectifier may be recognised by it."""
        if value.name not in self.numbers:
            self.numbers[value.name] = self._filled_with(value)
        return self.numbers[value.name]

    def _filled_with(self, value: Value) -> float | None:
        if value.varies or value.name in self.parameters:
            return None
        if value.name in self.constants:
            step = self.constants[value.name]
            inner = [self._number(v) for v in _inside(dict(step.arguments))]
            unchanged = step.operation.removeprefix("aten.") in _SAME_NUMBER
            return inner[0] if unchanged and len(inner) == 1 else None
        tensor = self.known[value.name]
        if not tensor.numel() or not bool((tensor == tensor.flatten()[0]).all()):
            return None
        number = float(tensor.flatten()[0])
        if value.name in self.weights:
            self.assumed[value.name] = number
        return number

    def _names(self) -> tuple[dict[str, Value], dict[str, Value]]:
        """What the model returned, and what each of its modules returned, by name."""
        (nodes,) = self.program.graph.output_node().args
        outputs, returned = torch.utils._pytree.tree_unflatten(list(nodes), self.program.call_spec.out_spec)
        layers = {name: self.values[clone.args[0]] for name, clone in returned.items()}
        layers.update({name: layers[other] for name, other in self.recording.aliases.of.items()})
        return {name: self.values[node] for name, node in outputs.items()}, layers


_NOWHERE = Value("", (), False, False)
_SAME_NUMBER = {"clone", "detach", "alias", "lift_fresh_copy", "expand", "view", "reshape", "_to_copy", "to"}


def _pick(step: Step, number: Any) -> Step:
    """A step that makes one of several results."""
    function = step.function
    return replace(step, function=lambda **arguments: function(**arguments)[number])


def _inside(argument: Any) -> Iterator[Value]:
    """The values among arguments, in order."""
    if isinstance(argument, Value):
        yield argument
    elif isinstance(argument, dict):
        for inner in argument.values():
            yield from _inside(inner)
    elif isinstance(argument, list | tuple):
        for inner in argument:
            yield from _inside(inner)


def _module_of(node: Node) -> str:
    stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    paths = [path for path in stack if path == "model" or path.startswith("model.")]
    return re.sub(r"@\d+", "", paths[-1].removeprefix("model").removeprefix(".")) if paths else ""


def _needed(steps: list[Step], wanted: list[Value]) -> list[Step]:
    """The steps that lead to any of the values."""
    names = {value.name for value in wanted}
    kept = []
    for step in reversed(steps):
        if step.output.name in names:
            kept.append(step)
            names.update(value.name for value in step.inputs)
    return kept[::-1]


def _all_names(layers: dict[str, Value], entry: Value, steps: list[Step]) -> dict[str, Value]:
    """Every layer's name in the order of the steps; what no module returned is called `module/operation`."""
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
    return {
        name: value
        for name, value in named.items()
        if value.signal and (value.image_first or (not entry.image_first and value.shape[:1] == entry.shape[:1]))
    }


def _find(model: nn.Module, dotted: str) -> Tensor:
    found = attrgetter(dotted)(model)
    assert isinstance(found, Tensor)
    return found.clone() if found.is_inference() else found.detach()


def _has_tensor(model: nn.Module, dotted: str) -> bool:
    """Whether a tensor that is neither parameter nor buffer can be read from the model itself."""
    try:
        return isinstance(attrgetter(dotted)(model), Tensor)
    except AttributeError:
        return False


def weights_of(model: nn.Module, names: Mapping[str, str]) -> dict[str, Tensor]:
    """The model's weights as they are now, by the name of the value that each one fills."""
    return {name: _find(model, dotted) for name, dotted in names.items()}


def signature(model: nn.Module) -> tuple[Any, ...]:
    """What a capture depends on besides the values of the weights: their names, shapes, types, ties."""
    places: dict[int, int] = {}
    parts: list[Any] = []
    for name, module in model.named_modules(remove_duplicate=False):
        for kind in (module._parameters, module._buffers):
            for own, tensor in kind.items():
                if tensor is not None:
                    place = places.setdefault(id(tensor), len(places))
                    parts.append((own, tensor.shape, tensor.dtype, tensor.device, place))
        plain = tuple((key, value) for key, value in vars(module).items() if key != "training" and _is_plain(value))
        parts.append((name, type(module), plain))
    return tuple(parts)


_PLAIN = (bool, int, float, str, type(None))


def _is_plain(value: Any) -> bool:
    """Whether a module's attribute is a number, a word, or several of them."""
    return isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(map(_is_plain, value)))


def version(tensor: Tensor) -> int:
    """How often a tensor was changed in place; -1 where that is not counted."""
    return -1 if tensor.is_inference() else tensor._version


@contextmanager
def computing() -> Iterator[None]:
    """No derivatives are recorded, and results are ordinary tensors."""
    with torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """The model in eval and without its user's hooks, and afterwards exactly as it was."""
    modules = list(model.modules())
    before = [dict(vars(module)) for module in modules]
    inner = [
        {name: held.copy() for name, held in state.items() if name in ("_parameters", "_buffers", "_modules")}
        for state in before
    ]
    try:
        for module in modules:
            module.training = False
            for name in _HOOKS:
                hooks = vars(module).get(name)
                if hooks:
                    kept = ((k, hook) for k, hook in hooks.items() if isinstance(hook, _WEIGHT_HOOKS))
                    vars(module)[name] = OrderedDict(kept)
        yield
    finally:
        for module, state, held in zip(modules, before, inner, strict=True):
            vars(module).clear()
            vars(module).update(state)
            for name, contents in held.items():
                state[name].clear()
                state[name].update(contents)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval with its hooks in place, and afterwards in the mode in which it was."""
    before = {module: module.training for module in model.modules()}
    try:
        for module in before:
            module.training = False
        yield
    finally:
        for module, training in before.items():
            module.training = training


def hooks_that_may_answer(model: nn.Module) -> dict[int, str]:
    """The hooks that may change what passes through a module, by identity, and the modules' names."""
    return {
        id(hook): name or "the model itself"
        for name, module in model.named_modules()
        for kind in ("_forward_hooks", "_forward_pre_hooks")
        for hook in vars(module).get(kind, {}).values()
        if not isinstance(hook, _WEIGHT_HOOKS) and _may_answer(hook)
    }


def _may_answer(hook: Any) -> bool:
    """Whether a function may return anything but None or work in place, as far as its code tells."""
    code = getattr(getattr(hook, "__func__", hook), "__code__", None)
    if code is None:
        return True
    before: dis.Instruction | None = None
    for instruction in dis.get_instructions(code):
        if str(instruction.argval).endswith("_") and not str(instruction.argval).endswith("__"):
            return True  # a method that works in place
        if instruction.opname == "RETURN_CONST" and instruction.argval is not None:
            return True
        nothing = before is not None and before.opname == "LOAD_CONST" and before.argval is None
        if instruction.opname == "RETURN_VALUE" and not nothing:
            return True
        before = instruction
    return False


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes that torch.export writes for its own developers."""
    known = list(logging.root.manager.loggerDict.items())
    loggers = [one for name, one in known if name.split(".")[0] == "torch" and isinstance(one, logging.Logger)]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


_DATA_DEPENDENT = (
    "the model's way depends on the values of its input (an `if`, a loop or an index computed from activations), "
    "so it has no fixed list of steps: {} Give the part of the model that computes the same steps for every image."
)


def _explain(error: Exception, example: Tensor) -> str:
    """Why a model cannot be captured, in one sentence, and what to do."""
    text = str(error)
    shape = tuple(example.shape[1:])
    if re.search(r"data-dependent|GuardOnDataDependent|Could not (guard|extract)|item\(\)|tolist", text):
        return _DATA_DEPENDENT.format(_first_sentence(text))
    return (
        f"torch.export cannot trace the model on an input of shape (n, {', '.join(map(str, shape))}): "
        f"{_first_sentence(text) or type(error).__name__} Check that the model runs on such an input in "
        "eval, without hooks."
    )


def _first_sentence(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = line if len(line) <= 300 else line[:297] + "..."
    return line if not line or line[-1] in ".!?" else line + "."
