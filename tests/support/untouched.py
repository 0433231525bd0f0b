"""The promise that a model, and all around it, is left as it was found."""

import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


def snapshot(model: nn.Module) -> Any:
    """All that may be changed in a model without meaning to, in a form that can be compared."""
    modules = []
    for name, module in model.named_modules():
        attributes = {
            key: [(k, id(v)) for k, v in value.items()] if isinstance(value, dict) else id(value)
            for key, value in vars(module).items()
            if key != "training"
        }
        modules.append((name, id(module), module.training, list(vars(module)), attributes))
    tensors = [
        (name, id(t), t.data_ptr(), t._version, t.requires_grad, t.dtype, t.device, t.grad is None,
         t.detach().flatten().tolist())
        for name, t in [*model.named_parameters(), *model.named_buffers()]
    ]  # fmt: skip
    return modules, tensors


def surroundings() -> Any:
    """All that may be changed outside the model."""
    kind, keys, *rest = np.random.get_state()
    loggers = {
        name: (one.level, one.disabled, one.propagate, list(one.handlers))
        for name, one in logging.root.manager.loggerDict.items()
        if isinstance(one, logging.Logger)
    }
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": (kind, keys.tolist(), rest),
        "python": random.getstate(),
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "logging": (logging.root.level, logging.root.manager.disable, list(logging.root.handlers), loggers),
    }


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    before, outside = snapshot(model), surroundings()
    yield
    assert snapshot(model) == before
    now = surroundings()
    known = outside["logging"][-1]
    new = now["logging"][-1]
    assert {name: new[name] for name in known} == known
    for key in outside:
        if key != "logging":
            assert now[key] == outside[key], key
    assert now["logging"][:-1] == outside["logging"][:-1]
