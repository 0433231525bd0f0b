"""Model → torch.export's program → steps, once per model and input size.

The model is traced on tensors without data. What comes back is a flat list of steps, each with the
arguments of one ATen operation; the weights stay where they are, in the user's model, and are read
anew at every forward pass. The model is left as it was found, also after an error.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import torch
import torch.fx.experimental.symbolic_shapes  # what it logs while a network is traced can be kept back from now on
from torch import Tensor, nn
from torch.export import Dim, export

from deconvnet._errors import CaptureError, DeconvNetError
from deconvnet._logs import quiet
from deconvnet._stand_in import put_back, stand_in
from deconvnet.capture.detached import Detaching
from deconvnet.capture.functional import functional
from deconvnet.capture.program import DATA_DEPENDENT, ProgramReader
from deconvnet.capture.untouched import computing, making_tensors_on, version
from deconvnet.core.graph import Graph


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
    try:
        recording = _Recording(_exportable(stand_in(model)), copies=copies)
        with computing(), making_tensors_on(example.device), quiet():
            shapes = None if fixed_batch else ({0: Dim.AUTO},)
            program = export(recording, (probe,), dynamic_shapes=shapes, strict=False)
            program, operations = functional(program)
        if not program.graph_signature.user_inputs_to_mutate:
            graph = ProgramReader(program, operations, recording.aliases.of, model).graph()
    except DeconvNetError:
        raise
    except _Stopped as stopped:
        raise CaptureError(_explain(stopped.reason, example)) from stopped.reason
    except Exception as error:
        raise CaptureError(_explain(error, example)) from error
    if program.graph_signature.user_inputs_to_mutate:
        return capture(model, example, fixed_batch=fixed_batch, copies=True)
    if graph.images is not None and not fixed_batch:
        return capture(model, example, fixed_batch=True, copies=copies)
    return graph


def _exportable(model: nn.Module) -> nn.Module:
    """A model of our own with ordinary copies in the place of weights made under inference mode."""
    for module in model.modules():
        tables: list[dict[str, Any]] = [module._parameters, module._buffers]
        for weights in tables:
            for name, weight in weights.items():
                if weight is not None and weight.is_inference():
                    copy = weight.clone()
                    weights[name] = nn.Parameter(copy) if weights is module._parameters else copy
    return model


class _Stopped(Exception):
    """The model failed. PyTorch prints the graph so far for some kinds of errors, but not for this one."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


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
            first = seen.get(id(tensor))
            if first is not None and first[1] == version(tensor):
                self.aliases.of[name] = first[2]
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

        with put_back(self.model):  # the hooks go; and torch.export would warn of what the model notes in itself
            for name, module in self.model.named_modules():
                if name:  # is bound here: inside a trace, a module that has two names is not itself
                    module.register_forward_hook(partial(record, name))
            try:
                with Detaching():
                    outputs = dict(named_outputs(self.model(x.clone() if self.copies else x)))
            except Exception as reason:
                raise _Stopped(reason) from reason
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


def _explain(error: Exception, example: Tensor) -> str:
    """Why a model cannot be captured, in one sentence, and what to do."""
    text = str(error)
    shape = tuple(example.shape[1:])
    if re.search(r"data-dependent|GuardOnDataDependent|Could not (guard|extract)|item\(\)|tolist", text):
        return DATA_DEPENDENT.format(_first_sentence(text))
    return (
        f"torch.export cannot trace the model on an input of shape (n, {', '.join(map(str, shape))}): "
        f"{_first_sentence(text) or type(error).__name__} Check that the model runs on such an input in "
        "eval, without hooks."
    )


def _first_sentence(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = line if len(line) <= 300 else line[:297] + "..."
    return line if not line or line[-1] in ".!?" else line + "."
