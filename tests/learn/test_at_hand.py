"""On an accelerator: the results of a CPU, each image as if alone, and nothing that the CPU has to wait for."""

import dataclasses

import pytest
import torch
from support.accelerators import Reads, empty_cuda, nothing_at_hand, to_cuda
from torch import Tensor

from deconvnet import NotFiniteError
from deconvnet.learn import AdaptiveDeconvNet, Progress, Solution, fit, infer, partial_fit, sparse_code, train
from deconvnet.learn.at_hand import at_hand
from deconvnet.learn.improve import improve

LAM = 0.3
WAYS = [("circular", "dr"), ("circular", "fista"), ("valid", "fista")]
each_way = pytest.mark.parametrize(("boundary", "solver"), WAYS)
OPTIONS = {"update_by": "online", "solver": "auto", "tol": 1e-2, "max_iter": 9, "steps": 3}


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def unit_filters(m: int, c: int, k: int) -> Tensor:
    filters = numbers(m, c, k, k, seed=1)
    return filters / filters.flatten(1).norm(dim=1)[:, None, None, None]


def alike(found: Solution, expected: Solution, within: float) -> None:
    torch.testing.assert_close(found.codes, expected.codes, atol=within, rtol=0)
    torch.testing.assert_close(found.objective, expected.objective, atol=0, rtol=within)
    torch.testing.assert_close(found.gap, expected.gap, atol=within, rtol=0)
    assert torch.equal(found.n_iter, expected.n_iter) and torch.equal(found.converged, expected.converged)


# sparse coding ---------------------------------------------------------------------------------------


def test_values_of_a_cpu_are_at_hand_and_those_of_other_devices_are_not():
    assert at_hand(torch.ones(1)) and not at_hand(torch.ones(1, device="meta"))


@each_way
@pytest.mark.parametrize("options", [{}, {"nonneg": True, "weights": numbers(4, 1, 1, seed=7).abs()}])
@pytest.mark.parametrize("tol", [0, 1e-3])
def test_an_accelerator_codes_as_a_cpu_does(boundary, solver, tol, options):
    images, filters = numbers(3, 2, 9, 8), unit_filters(4, 2, 3)
    images[1] *= 3  # converges at another time
    arguments = (images, filters, LAM, boundary, solver, tol, 60)
    expected = sparse_code(*arguments, **options)
    with nothing_at_hand():
        alike(sparse_code(*arguments, **options), expected, 1e-9)


@each_way
def test_each_image_of_a_batch_stays_where_it_converged_as_if_it_were_alone(boundary, solver):
    images, filters = numbers(4, 1, 9, 8) * torch.tensor([0.01, 1, 3, 10.0])[:, None, None, None], unit_filters(4, 1, 3)
    with nothing_at_hand():
        whole = sparse_code(images, filters, LAM, boundary, solver, tol=1e-3)
        assert len(set(whole.n_iter.tolist())) > 1
        for i in range(4):
            alone = sparse_code(images[i : i + 1], filters, LAM, boundary, solver, tol=1e-3)
            torch.testing.assert_close(whole.objective[i : i + 1], alone.objective, atol=0, rtol=1e-9)
            torch.testing.assert_close(whole.codes[i : i + 1], alone.codes, atol=1e-9, rtol=0)
            assert whole.n_iter[i] == alone.n_iter[0]


def test_a_step_that_was_too_long_is_refused_and_the_minimum_is_reached_all_the_same(monkeypatch):
    images, filters = numbers(3, 1, 9, 8), unit_filters(4, 1, 3)
    best = sparse_code(images, filters, LAM, "valid", tol=0, max_iter=800)
    real = infer.fista
    short = torch.tensor([0.1, 100.0, 0.5], dtype=torch.float64)  # far below the largest eigenvalue, but for one
    monkeypatch.setattr(infer, "fista", lambda *args, **options: real(*args, **options, largest=short))
    with nothing_at_hand():
        found = sparse_code(images, filters, LAM, "valid", tol=0, max_iter=800)
        early = sparse_code(images, filters, LAM, "valid", tol=0.9, max_iter=5)
    torch.testing.assert_close(found.objective, best.objective, atol=0, rtol=1e-5)
    assert not early.converged[0]  # its first steps were refused, which is not to stand still


@each_way
def test_a_solver_reads_nothing_of_its_iterations_without_a_tolerance_and_little_with_one(boundary, solver):
    images, filters = numbers(3, 1, 9, 8), unit_filters(4, 1, 3)

    def reads(tol: float, iterations: int) -> int:
        with nothing_at_hand(), Reads() as counter:
            sparse_code(images, filters, LAM, boundary, solver, tol, iterations)
        return counter.count

    assert reads(0, 40) == reads(0, 2)
    assert reads(1e-12, 45) - reads(1e-12, 5) <= 12  # when it looks whether all images have converged


@each_way
@pytest.mark.parametrize("channels", [1, 3])
def test_on_cuda_nothing_is_copied_to_the_cpu_in_an_iteration(boundary, solver, channels):
    with empty_cuda() as reads:
        images, filters = torch.randn(4, channels, 16, 16, device="cuda"), torch.randn(3, channels, 5, 5, device="cuda")
        problem = infer.Problem(filters, LAM, boundary, solver, nonneg=False, tol=1e-2, max_iter=25, watched=False)
        found = infer.coded(images, problem)
        assert found.codes.device.type == "cuda" and reads.count == 0


def test_as_many_images_are_solved_together_as_a_quarter_of_the_free_memory_holds(monkeypatch):
    images, filters = numbers(5, 1, 8, 8), unit_filters(3, 1, 3)
    expected, asked = sparse_code(images, filters, LAM, tol=1e-4), []
    monkeypatch.setattr(infer, "free_bytes", lambda device: 2 * infer._ARRAYS * 3 * 64 * 8)
    real = infer.douglas_rachford
    monkeypatch.setattr(
        infer,
        "douglas_rachford",
        lambda batch, *rest, **options: asked.append(len(batch)) or real(batch, *rest, **options),
    )
    with nothing_at_hand():
        alike(sparse_code(images, filters, LAM, tol=1e-4), expected, 1e-9)
    assert asked == [2, 2, 1]
    monkeypatch.setattr(infer, "free_bytes", lambda device: 1)
    with nothing_at_hand():
        assert len(sparse_code(images, filters, LAM, tol=1e-4).codes) == 5


# learning --------------------------------------------------------------------------------------------


def small(**options: object) -> AdaptiveDeconvNet:
    return AdaptiveDeconvNet.of([3, 4], **{"kernel": 3, "pool": (2, 2, 2), "lam": 0.2, "seed": 1, **options}).double()


def batches(count: int = 3) -> list[Tensor]:
    return [numbers(2, 1, 12, 12, seed=seed) for seed in range(count)]


def state(net: AdaptiveDeconvNet) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def same(found: AdaptiveDeconvNet, expected: AdaptiveDeconvNet, within: float = 1e-8) -> None:
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, atol=within, rtol=within, msg=name)


@pytest.mark.parametrize("solver", ["auto", "ista", "splitting"])
@pytest.mark.parametrize("update_by", ["online", "conjugate"])
def test_an_accelerator_learns_what_a_cpu_learns_and_tells_the_same(solver, update_by):
    options = {"solver": solver, "update_by": update_by, "max_iter": 10, "steps": 3}
    told: dict[str, list[Progress]] = {"cpu": [], "other": []}
    expected = fit(small(), batches(), [1, 2], **options, progress=told["cpu"].append)
    with nothing_at_hand():
        found = fit(small(), batches(), [1, 2], **options, progress=told["other"].append)
        one = partial_fit(small(), batches()[0], 1, **options)
    same(found, expected)
    assert len(told["cpu"]) == len(told["other"]) == 9
    for ours, theirs in zip(told["other"], told["cpu"], strict=True):
        assert dataclasses.astuple(ours) == pytest.approx(dataclasses.astuple(theirs), rel=1e-7)
    assert dataclasses.astuple(one) == pytest.approx(dataclasses.astuple(told["cpu"][0]), rel=1e-7)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("boundary", "solver", "update_by"),
    [("valid", "auto", "online"), ("circular", "auto", "conjugate"), ("valid", "ista", "online"),
     ("circular", "splitting", "conjugate")],
)  # fmt: skip
def test_on_cuda_nothing_is_copied_to_the_cpu_in_an_update(boundary, solver, update_by):
    with empty_cuda() as reads:
        net = to_cuda(AdaptiveDeconvNet.of([3, 4], kernel=3, pool=(2, 2, 2), boundary=boundary))
        images = torch.randn(2, 1, 12, 12, device="cuda")
        for layer in (1, 2):
            before = reads.count
            improved = improve(net, images, layer, OPTIONS | {"solver": solver, "update_by": update_by})
            improve(net, images, layer, OPTIONS, improved.sound)
            assert reads.count == before


def test_fit_reads_once_for_several_updates(monkeypatch):
    reads = []
    real = train.read
    monkeypatch.setattr(train, "read", lambda measures: reads.append(len(measures)) or real(measures))
    monkeypatch.setattr(train, "_READ_EVERY", 4)
    with nothing_at_hand():
        fit(small(), batches(6), [1, 1], max_iter=3)
    assert reads == [4, 2, 4, 2]


def test_fit_moves_batches_to_the_network(monkeypatch):
    net, moved = small(), []
    net.layers[0].filters = torch.nn.Parameter(net.layers[0].filters.data.to("meta"))
    monkeypatch.setattr(train, "improve", lambda net, images, *rest: moved.append(images.device.type))
    with pytest.raises(AttributeError):  # of nothing, which is what the update gave
        fit(net, batches(1))
    assert moved == ["meta"]


def test_a_batch_that_is_not_finite_leaves_the_network_as_the_batches_before_it_made_it(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "_SAVE_SECONDS", -1)
    bad, told, path = batches(5), [], tmp_path / "net.safetensors"
    bad[2][1, 0, 3, 4] = torch.nan
    expected = fit(small(), batches(2), [1, 0])
    net = small()
    with nothing_at_hand(), pytest.raises(NotFiniteError, match="image 1 holds NaN or infinity"):
        fit(net, bad, [1, 1], checkpoint=path, progress=told.append)
    same(net, expected)
    assert [one.batch for one in told] == [0, 1]
    with nothing_at_hand():
        resumed = fit(small(), batches(5), [1, 1], checkpoint=path, resume=True)
        whole = fit(small(), batches(5), [1, 1])
    assert all(torch.equal(value, state(whole)[name]) for name, value in state(resumed).items())


def test_filters_that_are_not_finite_are_told_and_partial_fit_changes_nothing():
    net, images = small(), batches()[0]
    images[0, 0, 0, 0] = torch.inf
    before = state(net)
    with nothing_at_hand(), pytest.raises(NotFiniteError, match="image 0 holds NaN or infinity"):
        partial_fit(net, images, 2)
    assert all(torch.equal(value, before[name]) for name, value in state(net).items())
    net.layers[0].filters.data[0] = torch.nan
    with nothing_at_hand(), pytest.raises(NotFiniteError, match="the filters hold NaN or infinity"):
        fit(net, batches(), [0, 1])


def test_dead_filters_start_anew_at_updates_that_do_not_depend_on_interruptions(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "_READ_EVERY", 4)
    monkeypatch.setattr(train, "_SAVE_SECONDS", -1)
    path = tmp_path / "net.safetensors"

    def dying() -> AdaptiveDeconvNet:
        net = small()
        net.layers[0].filters.data[0] = 0  # its map stays empty
        return net

    class Enough(Exception):
        pass

    def stop(report: Progress) -> None:
        if report.batch == 9:
            raise Enough

    told: list[Progress] = []
    with nothing_at_hand():
        whole = fit(dying(), batches(14), [1, 0], max_iter=5, progress=told.append)
        with pytest.raises(Enough):
            fit(dying(), batches(14), [1, 0], max_iter=5, checkpoint=path, progress=stop)
        resumed = fit(dying(), batches(14), [1, 0], max_iter=5, checkpoint=path, resume=True)
    assert [report.reseeded for report in told] == [0] * 11 + [1, 0, 0]
    assert all(torch.equal(value, state(whole)[name]) for name, value in state(resumed).items())
