"""What a network detaches from its own training, as steps.

torch.export traces without derivatives, so that of `detach_()` and of what runs under `no_grad` nothing is left, and
`.data` it cannot trace at all. Here each becomes an ordinary `detach()`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map_only


class Detaching(TorchFunctionMode):
    """While it is on, a value that is computed without derivatives is detached where it is used next.

    What is written in place into a tensor is detached as the rest of it is; under `no_grad` into one that was made
    outside of it, it is not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._off = False  # the model's own `no_grad`
        self._values: dict[int, tuple[Tensor, Tensor | None]] = {}  # by identity; detached once it was used

    def __enter__(self) -> "Detaching":
        self._before = torch.is_grad_enabled()
        _record_derivatives(True)  # `no_grad` of the model looks it up, to restore it
        super().__enter__()  # type: ignore[no-untyped-call]  # torch's own
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]  # torch's own
        _record_derivatives(self._before)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch._C._set_grad_enabled:
            self._off = not args[0]
            return _record_derivatives(args[0])
        if func is Tensor.detach_:
            self._values[id(args[0])] = (args[0], None)
            return args[0]
        if func == Tensor.data.__get__:  # type: ignore[attr-defined]  # a descriptor of C
            func = Tensor.detach
        off = self._off or torch.is_inference_mode_enabled()
        if self._values and not off:
            args, kwargs = tree_map_only(Tensor, self._detached, (args, kwargs))
        enabled = torch.is_grad_enabled()
        _record_derivatives(False)
        try:
            result = func(*args, **(kwargs or {}))
        finally:
            _record_derivatives(enabled)
        if off:
            given = {id(tensor) for tensor in tree_iter((args, kwargs))}
            fresh = (tensor for tensor in tree_iter(result) if isinstance(tensor, Tensor) and id(tensor) not in given)
            self._values.update((id(tensor), (tensor, None)) for tensor in fresh)
        return result

    def _detached(self, tensor: Tensor) -> Tensor:
        if id(tensor) not in self._values:
            return tensor
        _, detached = self._values[id(tensor)]
        if detached is None:
            detached = tensor.detach()
            self._values[id(tensor)] = (tensor, detached)
        return detached


def _record_derivatives(enabled: bool) -> None:
    """As `torch.set_grad_enabled`, unseen by whatever traces."""
    with torch._C.DisableTorchFunction():
        torch._C._set_grad_enabled(enabled)
