"""Settings of the whole process: what they are before, during and after our computing, seen from any thread."""

from collections.abc import Callable, Iterator
from itertools import product
from threading import Event, Thread
from typing import Any

import pytest
import torch
from torch.backends import cuda, cudnn
from torch.utils._python_dispatch import TorchDispatchMode

from deconvnet import learn
from deconvnet._precision import Arithmetic

EXACT = ("none", "ieee")


def settings() -> dict[str, Any]:
    """All that can be seen of how float32 is shortened, by the newer names and, as far as they answer, the older."""
    names: dict[str, Callable[[], Any]] = {
        "all": lambda: torch.backends.fp32_precision,
        "convolutions": lambda: cudnn.conv.fp32_precision,
        "recurrent": lambda: cudnn.rnn.fp32_precision,
        "products": lambda: cuda.matmul.fp32_precision,
        "convolutions on the CPU": lambda: torch.backends.mkldnn.conv.fp32_precision,
        "products on the CPU": lambda: torch.backends.mkldnn.matmul.fp32_precision,
        "convolutions, older name": lambda: cudnn.allow_tf32,
        "products, older name": lambda: cuda.matmul.allow_tf32,
        "products, in words": torch.get_float32_matmul_precision,
    }
    seen = {}
    for name, read in names.items():
        try:
            seen[name] = read()
        except RuntimeError:
            seen[name] = "mixed"
    return {**seen, "deterministic": cudnn.deterministic, "benchmark": cudnn.benchmark}


def exact(seen: dict[str, Any]) -> bool:
    names = ("convolutions", "products", "convolutions on the CPU", "products on the CPU")
    return all(seen[name] in EXACT for name in names)


def from_another_thread(read: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = Thread(target=lambda: results.append(read()))
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture(autouse=True)
def as_in_a_new_process() -> Iterator[None]:
    yield
    torch.backends.fp32_precision = "none"
    cudnn.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    cuda.matmul.allow_tf32 = False
    for operation in ("conv", "rnn", "matmul"):
        getattr(torch.backends.mkldnn, operation).fp32_precision = "none"
    cudnn.allow_tf32 = True
    cudnn.deterministic = cudnn.benchmark = False


def set_nothing() -> None:
    pass


def convolutions_by_older_name() -> None:
    cudnn.allow_tf32 = False


def products_by_older_name() -> None:
    cuda.matmul.allow_tf32 = True


def products_in_words() -> None:
    torch.set_float32_matmul_precision("medium")


def convolutions_by_newer_name() -> None:
    cudnn.conv.fp32_precision = "ieee"


def products_by_newer_name() -> None:
    cuda.matmul.fp32_precision = "tf32"


def all_at_once() -> None:
    torch.backends.fp32_precision = "tf32"


def convolutions_as_all() -> None:
    torch.backends.fp32_precision = "tf32"
    cudnn.allow_tf32 = False


def on_the_cpu() -> None:
    torch.backends.mkldnn.conv.fp32_precision = "bf16"


def a_mixture() -> None:
    torch.set_float32_matmul_precision("high")
    cuda.matmul.fp32_precision = "ieee"
    cudnn.rnn.fp32_precision = "ieee"


SETTINGS = [
    set_nothing, convolutions_by_older_name, products_by_older_name, products_in_words, convolutions_by_newer_name,
    products_by_newer_name, all_at_once, convolutions_as_all, on_the_cpu, a_mixture,
]  # fmt: skip


@pytest.mark.parametrize(("of_the_user", "precision"), [*product(SETTINGS, [None, "tf32"])])
def test_float32_is_float32_for_all_threads_while_we_compute_and_what_the_user_set_comes_back(
    of_the_user: Callable[[], None], precision: Any
):
    of_the_user()
    before = settings()
    with Arithmetic(precision).held():
        during = from_another_thread(settings)
        if precision == "tf32":
            assert (during["convolutions"], during["products"]) == ("tf32", "tf32")
        else:
            assert exact(during)
    assert settings() == before == from_another_thread(settings)


def test_the_older_names_can_be_read_while_we_compute():
    """Another thread may read them, and PyTorch lets that fail where the older and newer names disagree."""
    with Arithmetic().held():
        assert (cudnn.allow_tf32, cuda.matmul.allow_tf32) == (False, False)
    cuda.matmul.allow_tf32 = True
    with Arithmetic().held():
        assert (cudnn.allow_tf32, cuda.matmul.allow_tf32) == (False, False)
    with Arithmetic("tf32").held():
        assert (cudnn.allow_tf32, cuda.matmul.allow_tf32) == (True, True)


def test_settings_come_back_after_an_error():
    before = settings()
    with pytest.raises(KeyError), Arithmetic(deterministic=True).held():
        assert settings() != before
        raise KeyError
    assert settings() == before


def test_the_last_of_several_threads_puts_the_settings_back():
    before, entered, leave = settings(), Event(), Event()

    def other() -> None:
        with Arithmetic().held():
            entered.set()
            leave.wait()

    thread = Thread(target=other)
    with Arithmetic().held():
        thread.start()
        entered.wait()
    assert exact(settings())
    leave.set()
    thread.join()
    assert settings() == before


def test_a_thread_that_wants_float32_goes_before_one_that_allows_tf32():
    cudnn.allow_tf32 = False
    before = settings()
    with Arithmetic("tf32").held():
        with Arithmetic().held():
            assert exact(settings())
        assert settings()["convolutions"] == "tf32"
    assert settings() == before
    with Arithmetic().held(), Arithmetic("tf32").held():
        assert exact(settings())
    assert settings() == before


def test_what_the_user_sets_meanwhile_stays_set():
    with Arithmetic(deterministic=True).held():
        cuda.matmul.fp32_precision = "tf32"
        cudnn.benchmark = True
    seen = settings()
    assert (seen["convolutions"], seen["products"]) == ("tf32", "tf32")
    assert (seen["deterministic"], seen["benchmark"]) == (False, True)


def test_deterministic_chooses_algorithms_that_repeat_and_none_by_the_clock():
    cudnn.benchmark = True
    with Arithmetic().held():
        assert (cudnn.deterministic, cudnn.benchmark) == (False, True)
    with Arithmetic(deterministic=True).held(), Arithmetic().held():
        assert from_another_thread(lambda: (cudnn.deterministic, cudnn.benchmark)) == (True, False)
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


class Settings(TorchDispatchMode):
    """Notes at every convolution and product whether it is exact."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bool] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in str(func) for name in ("convolution", "mm", "fft")):
            self.seen.append(exact(settings()))
        return func(*args, **(kwargs or {}))


def test_learning_is_exact_too():
    before, images = settings(), torch.rand(2, 1, 12, 12)
    net = learn.AdaptiveDeconvNet.of([3, 4], kernel=3, pool=(2, 2, 1))
    calls: list[Callable[[], Any]] = [
        lambda: learn.sparse_code(images, torch.rand(3, 1, 3, 3), 10.0, max_iter=2),
        lambda: learn.partial_fit(net, images, 2, max_iter=2),
        lambda: net.reconstruct(net.infer(images, max_iter=2)),
        lambda: learn.pixel_filters(net),
        lambda: learn.parts(net, net.infer(images, max_iter=2)),
    ]
    for call in calls:
        with Settings() as seen:
            call()
        assert seen.seen and all(seen.seen)
    assert settings() == before
