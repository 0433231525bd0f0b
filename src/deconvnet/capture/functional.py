"""torch.export's program as operations that change nothing, without tracing it again where that is certain.

The program holds what the model called: `relu_`, which changes its input, and `flatten` or `dropout`, which may give
their input itself, a view of it or a copy. `run_decompositions` makes plain operations of them all by tracing the
program again, which takes longer than the rest of a capture. Here each operation is looked at alone. Most stay as they
are; of the second kind each is dispatched once; and one in place becomes the operation that it is named after, whose
result is read in its input's stead from then on. What an operator does is told by its schema and its kernels. Where
these leave a doubt, the program is traced again.
"""

from collections.abc import Mapping
from functools import cache
from operator import getitem
from typing import Any

import torch
from torch import SymBool, SymFloat, SymInt, Tensor, fx
from torch._C import DispatchKey
from torch._dispatch.python import enable_python_dispatcher
from torch._ops import HigherOrderOperator, OpOverload
from torch._subclasses.fake_tensor import FakeTensor
from torch.export import ExportedProgram
from torch.fx.node import map_aggregate
from torch.utils._python_dispatch import TorchDispatchMode

try:
    from torch._export.utils import _is_preservable_cia_op
except ImportError:  # a version of torch that has it elsewhere: all is traced again
    _is_preservable_cia_op = None  # type: ignore[assignment]


def functional(program: ExportedProgram) -> tuple[ExportedProgram, fx.Graph]:
    """A program and its graph, whose operations change nothing: the program itself, or as it is traced again."""
    try:
        return program, _Rewriting(program).graph()
    except _Unclear:
        again = program.run_decompositions({})
        return again, again.graph


class _Unclear(Exception):
    """What an operation does here cannot be told from its schema."""


class _Rewriting(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Goes through a program once; while it is on, the operations that dispatch arrives at are written down.

    A tensor is known by the object that stands for it in the trace. What works in place gives the object that it was
    given, so that all who hold it read what was last written to it.
    """

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.program = program
        self.written = fx.Graph()
        self.held: dict[fx.Node, Any] = {}  # by node of the program
        self.newest: dict[Tensor, fx.Node] = {}  # where the values are computed that a tensor holds by now
        self.shared: set[Tensor] = set()  # weights, the input, views and what they are views of
        self.changed: set[Tensor] = set()
        self.stack: Any = None

    def graph(self) -> fx.Graph:
        """The graph, written anew."""
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self._give(node)
            elif node.op == "output":
                self.written.output(self._nodes(self._held(node.args[0])))
            elif node.op == "call_function":
                self.stack = node.meta.get("nn_module_stack")
                self.held[node] = self._call(node)
            else:
                raise _Unclear
        self.written.eliminate_dead_code()
        return self.written

    def _give(self, node: fx.Node) -> None:
        given = self.held[node] = node.meta["val"]
        copy = self.written.node_copy(node)
        if isinstance(given, Tensor):
            self._hold(given, copy)
            self.shared.add(given)

    def _call(self, node: fx.Node) -> Any:
        """What a node holds, after its operations are written down."""
        function, result = node.target, node.meta.get("val")
        arguments, named = self._held(node.args), self._held(node.kwargs)
        if function is getitem:
            return arguments[0][arguments[1]]
        if isinstance(function, OpOverload) and function._schema.is_mutable:
            act = self._dispatch if _is_taken_apart(function) else self._change
            return act(function, arguments, named)
        if isinstance(function, HigherOrderOperator):
            raise _Unclear
        if result is None or isinstance(result, int | float | bool | SymInt | SymFloat | SymBool):
            return result  # an assertion, or a number
        if not isinstance(function, OpOverload):
            raise _Unclear
        if _is_taken_apart(function):
            return self._dispatch(function, arguments, named)
        return self._write(function, arguments, named, result)

    def _held(self, arguments: Any) -> Any:
        return map_aggregate(arguments, lambda inner: self.held[inner] if isinstance(inner, fx.Node) else inner)

    def _nodes(self, arguments: Any) -> Any:
        """Arguments with the nodes that compute them."""
        return map_aggregate(arguments, self._node)

    def _node(self, argument: Any) -> Any:
        if isinstance(argument, Tensor):
            if argument not in self.newest:
                raise _Unclear
            return self.newest[argument]
        if isinstance(argument, SymInt):  # of such a node only the value is read
            node = self.written.call_function(torch.sym_int, (str(argument),))
            node.meta["val"] = argument
            return node
        if isinstance(argument, SymFloat | SymBool):
            raise _Unclear
        return argument

    def _hold(self, tensor: Any, node: fx.Node) -> None:
        """Note the node of a tensor that is new."""
        if not isinstance(tensor, FakeTensor) or tensor in self.newest:
            raise _Unclear
        self.newest[tensor] = node

    def _dispatch(self, operation: OpOverload, arguments: Any, named: Mapping[str, Any]) -> Any:
        """Write down what an operation consists of for these arguments."""
        mode = next(tensor.fake_mode for tensor in self.newest if isinstance(tensor, FakeTensor))
        try:
            with enable_python_dispatcher(), mode, self:
                return operation(*arguments, **named)
        except Exception as error:
            raise _Unclear from error

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func._schema.is_mutable:
            return self._change(func, args, named)
        result = func(*args, **named)
        return self._write(func, args, named, result) if isinstance(result, Tensor | tuple | list) else result

    def _write(self, operation: OpOverload, arguments: Any, named: Mapping[str, Any], result: Any) -> Any:
        """Write down an operation that changes nothing, with the node of each of its results."""
        viewed = self._viewed(operation, arguments, named)
        node = self._add(operation, arguments, named, result)
        for i, tensor in enumerate([result] if isinstance(result, Tensor) else result):
            self._hold(tensor, node if tensor is result else self._add(getitem, (node, i), {}, tensor))
            if viewed is not None:
                self.shared |= {tensor, viewed}
        return result

    def _add(self, function: Any, arguments: Any, named: Mapping[str, Any], result: Any) -> fx.Node:
        node = self.written.call_function(function, self._nodes(tuple(arguments)), self._nodes(dict(named)))
        node.meta.update(val=result, nn_module_stack=self.stack)
        return node

    def _viewed(self, operation: OpOverload, arguments: Any, named: Mapping[str, Any]) -> Tensor | None:
        """The tensor of which an operation gives views, if it does."""
        if not any(of.alias_info is not None for of in operation._schema.returns):
            if torch.Tag.view_copy in operation.tags or DispatchKey.Functionalize in operation.py_kernels:
                raise _Unclear  # torch.export makes another operation of it
            return None
        shared = [
            arguments[i] if i < len(arguments) else named.get(of.name)
            for i, of in enumerate(operation._schema.arguments)
            if of.alias_info is not None
        ]
        if len(shared) != 1 or not isinstance(shared[0], Tensor) or shared[0] in self.changed:
            raise _Unclear
        return shared[0]

    def _change(self, operation: OpOverload, arguments: Any, named: Mapping[str, Any]) -> Any:
        """Write down an operation in place as the one that gives a new tensor, if nothing else can see the change."""
        plain = _not_in_place(operation)
        if plain is None or not arguments or arguments[0] in self.shared:
            raise _Unclear
        tensor, result = arguments[0], plain(*arguments, **named)
        if _form(result) != _form(tensor):
            raise _Unclear  # in place, the result is cast to the type of the input, and laid out as that is
        self.newest[tensor] = self._add(plain, arguments, named, result)
        self.changed.add(tensor)
        return tensor


def _has_kernel(operation: OpOverload, key: DispatchKey) -> bool:
    name = operation.name()  # type: ignore[no-untyped-call]  # torch's own
    return torch._C._dispatch_has_kernel_for_dispatch_key(name, key) or key in operation.py_kernels


@cache
def _is_taken_apart(operation: OpOverload) -> bool:
    """Whether an operation is composite, and torch.export takes it apart as it may share memory with its input."""
    if _is_preservable_cia_op is None:
        raise _Unclear
    if _has_kernel(operation, DispatchKey.CompositeImplicitAutograd):
        return not _is_preservable_cia_op(operation)
    if DispatchKey.Autograd in operation.py_kernels:
        raise _Unclear  # it is taken apart in Python
    return False


@cache
def _not_in_place(operation: OpOverload) -> OpOverload | None:
    """The operation that gives a new tensor of what this one writes into its first argument; None if there is none."""
    schema = operation._schema
    first, *others = schema.arguments
    changes_first = first.alias_info is not None and first.alias_info.is_write
    alone = not any(of.alias_info is not None for of in others) and len(schema.returns) == 1
    if not (changes_first and alone and _has_kernel(operation, DispatchKey.Functionalize)):
        return None
    if torch.Tag.inplace_view in operation.tags:
        return None
    space, name = schema.name.split("::")
    packet = getattr(getattr(torch.ops, space), name.removesuffix("_"), None)
    plain = getattr(packet, operation._overloadname, None)
    if not name.endswith("_") or plain is None or plain._schema.is_mutable or _is_taken_apart(plain):
        return None
    same = [(of.name, str(of.type), of.default_value) for of in schema.arguments]
    return plain if same == [(of.name, str(of.type), of.default_value) for of in plain._schema.arguments] else None


def _form(tensor: Tensor) -> tuple[Any, ...]:
    """Type, device, shape and layout, without asking how long an axis is."""
    lengths = (*tensor.shape, *tensor.stride())
    return tensor.dtype, tensor.device, [of.node.expr if isinstance(of, SymInt) else of for of in lengths]
