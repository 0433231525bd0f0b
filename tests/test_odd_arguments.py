"""Every public function with each argument replaced by odd values: it works, or says in our words what is wrong."""

import re
import warnings
from collections.abc import Callable, Iterator

import jaxtyping
import pytest
import torch
from support.odd import Call, good_calls, odd_values, public_names
from torch import nn

from deconvnet import DeconvNetError
from deconvnet._checks import as_index
from deconvnet.capture import trace
from deconvnet.core.graph import Graph

FUNCTIONS = {"watch", "progress", "loader", "neuron_selector"}  # what a function of the user's raises is the user's own
PYTHON_S_OWN = re.compile(r"missing \d+ required|unexpected keyword|positional argument")


@pytest.fixture(scope="module")
def calls(tmp_path_factory) -> Iterator[dict[str, Call]]:
    jaxtyping.config.update("jaxtyping_disable", True)  # users have no check of shapes in front of ours
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("written"))
        patch.setattr(trace, "capture", captured_once(trace.capture))
        try:
            yield good_calls(tmp_path_factory.mktemp("read"))
        finally:
            jaxtyping.config.update("jaxtyping_disable", False)


def captured_once(capture: Callable[..., Graph]) -> Callable[..., Graph]:
    """Capturing is slow, and its own tests are elsewhere."""
    captures: dict[object, Graph] = {}

    def capture_once(model: nn.Module, x: torch.Tensor, **options: object) -> Graph:
        key = (str(model), tuple(model.state_dict()), x.shape, *options.items())
        if key not in captures:
            captures[key] = capture(model, x, **options)
        return captures[key]

    return capture_once


def foreign_errors(call: Call, name: str) -> Iterator[str]:
    """What a call raises that is not ours, for each odd value of an argument."""
    for words, value in odd_values().items():
        index = as_index(value)
        if index is not None and index > call.no_more_than.get(name, index):
            continue
        if name in FUNCTIONS and callable(value):
            continue
        try:
            call(**{name: value})
        except DeconvNetError:
            continue
        except Exception as fault:
            if not (isinstance(fault, TypeError) and PYTHON_S_OWN.search(str(fault))):
                yield f"{name}={words}: {type(fault).__name__}: {str(fault)[:100]}"


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("name", [*public_names()])
def test_an_odd_argument_is_taken_or_refused_in_our_own_words(name, calls):
    assert name in calls, f"{name} is public: say in tests/support/odd.py, good_calls, how it is called."
    call = calls[name]
    assert not call.unknown(), f"{name} needs {call.unknown()}: add them in tests/support/odd.py, good_calls."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call()
        errors = [error for argument in call.names() for error in foreign_errors(call, argument)]
    assert not errors, f"{len(errors)} of {name}:\n" + "\n".join(errors)
