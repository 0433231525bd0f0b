"""Sparse coding and learning of filters, beside SPORCO (BSD-3, numpy and FFTW), in CPU seconds on one thread.

    python benchmarks/learning.py                   # all problems; half an hour
    python benchmarks/learning.py --problems P1 P2  # some
    python benchmarks/learning.py --part memory     # coding, stopping, dictionary, memory, synthesis or online

SPORCO runs in float32 with FastSolve, once with its defaults and once tuned (AutoRho's RsdlTarget 1), in this process
beside ours. Its FFT plans are made in a run that is not counted. Objectives are evaluated outside the clock, by one
function in float64.
"""

import argparse
import gc
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import machine, table
from skimage import color, data
from torch import Tensor

from deconvnet.learn import AdaptiveDeconvNet, LocalContrastNorm, partial_fit, sparse_code
from deconvnet.learn.convolve import Geometry, adjoint, spectra, synthesis

warnings.filterwarnings("ignore")
import sporco.fft  # noqa: E402
from sporco import util  # noqa: E402
from sporco.admm import cbpdn  # noqa: E402
from sporco.dictlrn import cbpdndl  # noqa: E402

LAM = 0.2
PHOTOS = {"astronaut": data.astronaut, "coffee": data.coffee, "chelsea": data.chelsea, "rocket": data.rocket}
PARTS = ("coding", "stopping", "dictionary", "memory", "synthesis", "online")


@dataclass(frozen=True)
class Problem:
    """An image and filters.

    Attributes:
        name: as in the tables.
        image: (1, c, h, w).
        filters: (m, c, k, k) of unit norm.
    """

    name: str
    image: Tensor
    filters: Tensor

    @property
    def words(self) -> str:
        m, c, k, _ = self.filters.shape
        return f"{self.image.shape[2]}², {'colour' if c == 3 else 'grey'}, {m} of {k}x{k}"


def crop(photo: str, size: int, *, grey: bool = True, corner: tuple[int, int] = (20, 100)) -> Tensor:
    """A square of a photo, contrast normalised, (1, c, size, size)."""
    pixels = PHOTOS[photo]()[corner[0] : corner[0] + size, corner[1] : corner[1] + size] / 255
    pixels = color.rgb2gray(pixels)[..., None] if grey else pixels
    return LocalContrastNorm()(torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None])


def learned_filters(maps: int, kernel: int, seed: int = 0) -> Tensor:
    net = AdaptiveDeconvNet.of([maps], kernel=kernel, pool=None, lam=LAM, boundary="circular", seed=seed)
    for _ in range(10):
        for photo in PHOTOS:
            partial_fit(net, crop(photo, 128))
    return net.layers[0].filters.detach()


def problem(name: str) -> Problem:
    """P1 to P5 of the tables; filters of SPORCO's own dictionaries, and for P2 some that are learned here."""
    known = {
        "P1": ("astronaut", 256, True, "G:8x8x32"), "P2": ("coffee", 150, True, None),
        "P3": ("chelsea", 256, True, "G:12x12x64"), "P4": ("astronaut", 256, False, "RGB:8x8x3x64"),
        "P5": ("coffee", 256, True, "G:12x12x36"),
    }  # fmt: skip
    photo, size, grey, dictionary = known[name]
    filters = learned_filters(9, 7) if dictionary is None else ours(util.convdicts()[dictionary])
    return Problem(name, crop(photo, size, grey=grey), filters)


def ours(dictionary: np.ndarray) -> Tensor:
    """SPORCO's (k, k[, c], m) as (m, c, k, k) of unit norm."""
    d = torch.tensor(dictionary, dtype=torch.float32)
    d = (d[:, :, None] if d.ndim == 3 else d).permute(3, 2, 0, 1).contiguous()
    return d / d.flatten(1).norm(dim=1)[:, None, None, None]


def theirs(one: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Filters and image as SPORCO takes them."""
    d, s = one.filters.permute(2, 3, 1, 0).numpy(), one.image[0].permute(1, 2, 0).numpy()
    return (d, s) if s.shape[2] > 1 else (d[:, :, 0], s[:, :, 0])


def objective(one: Problem, codes: Tensor) -> float:
    """In float64."""
    z, f, image = codes.double(), one.filters.double(), one.image.double()
    geometry = Geometry(tuple(image.shape[2:]), tuple(f.shape[2:]), "circular")
    residual = image - synthesis(z, f, geometry)
    return float(0.5 * residual.square().sum() + LAM * z.abs().sum())


class Sporco:
    """One run of SPORCO's solver, to an objective that is wanted if there is one; then when it was reached."""

    def __init__(
        self, one: Problem, *, tuned: bool, iterations: int, tol: float = 0.0, wanted: float | None = None
    ) -> None:
        self.one, self.paused, self.wanted = one, 0.0, wanted
        self.reached: tuple[int, float] = (iterations, float("inf"))
        options = {"Verbose": False, "MaxMainIter": iterations, "RelStopTol": tol, "FastSolve": True}
        if tuned:
            options["AutoRho"] = {"RsdlTarget": 1.0}
        if wanted is not None:
            options["Callback"] = self._look
        d, s = theirs(one)
        self.began = time.process_time()
        self.solver = cbpdn.ConvBPDN(d, s, LAM, cbpdn.ConvBPDN.Options(options), dimK=0)
        self.solver.solve()
        self.seconds = time.process_time() - self.began - self.paused

    def codes(self) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.solver.Y[:, :, 0, 0].transpose(2, 0, 1)))[None]

    def _look(self, solver: Any) -> bool:
        now = time.process_time()
        self.solver = solver
        done = objective(self.one, self.codes()) <= self.wanted
        if done:
            self.reached = solver.k + 1, now - self.began - self.paused
        self.paused += time.process_time() - now
        return done


def ours_seconds(one: Problem, iterations: int) -> float:
    began = time.process_time()
    sparse_code(one.image, one.filters, LAM, tol=0, max_iter=iterations)
    return time.process_time() - began


def needed(one: Problem, wanted: float) -> int:
    """Iterations after which our objective is at most so much, to five."""
    low, high = 5, 640
    while low < high:
        middle = (low + high) // 10 * 5
        codes = sparse_code(one.image, one.filters, LAM, tol=0, max_iter=middle).codes
        low, high = (low, middle) if objective(one, codes) <= wanted else (middle + 5, high)
    return low


def optimum(one: Problem) -> float:
    return objective(one, sparse_code(one.image, one.filters, LAM, tol=0, max_iter=1500).codes)


def coding(names: list[str], runs: int) -> Iterator[list[str]]:
    """CPU seconds until the objective lies 0.1 % above the optimum."""
    for name in names:
        one = problem(name)
        wanted = 1.001 * optimum(one)
        iterations = needed(one, wanted)
        seconds, reached = {}, {}
        for tuned in (False, True):
            Sporco(one, tuned=tuned, iterations=2)  # plans
            found = [Sporco(one, tuned=tuned, iterations=250, wanted=wanted).reached for _ in range(runs)]
            reached[tuned], seconds[tuned] = found[0][0], statistics.median(t for _, t in found)
        our = statistics.median(ours_seconds(one, iterations) for _ in range(runs))
        yield [
            name, one.words, f"{our:.2f} ({iterations})", f"{seconds[True]:.2f} ({reached[True]})",
            f"{seconds[False]:.2f} ({reached[False]})", f"{our / seconds[True]:.2f}", f"{our / seconds[False]:.2f}",
        ]  # fmt: skip


def stopping(names: list[str], runs: int) -> Iterator[list[str]]:
    """Where both stop by themselves at a tolerance of 1e-3, and how long ours takes to SPORCO's objective."""
    for name in names:
        one, best = problem(name), None
        times = []
        for _ in range(runs):
            run = Sporco(one, tuned=False, iterations=1000, tol=1e-3)
            times.append(run.seconds)
            best = objective(one, run.codes())
        mine = []
        for _ in range(runs):
            began = time.process_time()
            found = sparse_code(one.image, one.filters, LAM, tol=1e-3)
            mine.append(time.process_time() - began)
        value = objective(one, found.codes)
        iterations = needed(one, best * (1 + 1e-4))
        until = statistics.median(ours_seconds(one, iterations) for _ in range(runs))
        our, their = statistics.median(mine), statistics.median(times)
        yield [
            name, f"{our:.2f} ({int(found.n_iter)})", f"{their:.2f}", f"{value / best - 1:+.1e}", f"{our / their:.2f}",
            f"{until:.2f}", f"{until / their:.2f}",
        ]  # fmt: skip


def learning_set(number: int) -> tuple[Tensor, Tensor]:
    """Four crops of 128x128 to learn from, and two others."""
    corners = [(10, 20), (60, 90), (100, 140), (30, 180), (120, 40), (80, 200)]
    names = list(PHOTOS)
    crops = [crop(names[(i + number) % 4], 128, corner=corners[(i + 2 * number) % 6]) for i in range(6)]
    return torch.cat(crops[:4]), torch.cat(crops[4:])


def quality(images: Tensor, filters: Tensor) -> float:
    """Objective of codes that are solved anew."""
    return float(sparse_code(images, filters, LAM, tol=0, max_iter=150).objective.sum())


def dictionary(runs: int) -> Iterator[list[str]]:
    """CPU seconds to the quality of 150 iterations of SPORCO's `cns`, 32 filters of 8x8."""
    for number in range(2):
        images, others = learning_set(number)
        for seed in range(runs):
            net = AdaptiveDeconvNet.of([32], kernel=8, pool=None, lam=LAM, boundary="circular", seed=seed)
            first = net.layers[0].filters.detach().clone()
            options = cbpdndl.ConvBPDNDictLearn.Options(
                {"Verbose": False, "MaxMainIter": 150, "AccurateDFid": False,
                 "CBPDN": {"rho": 50.0 * LAM + 0.5}, "CCMOD": {"rho": 10.0, "ZeroMean": False}},
                dmethod="cns",
            )  # fmt: skip
            began = time.process_time()
            solver = cbpdndl.ConvBPDNDictLearn(
                first.permute(2, 3, 1, 0)[:, :, 0].numpy(), images[:, 0].permute(1, 2, 0).numpy(), LAM, options,
                dmethod="cns",
            )  # fmt: skip
            learnt = ours(np.asarray(solver.solve()).reshape(8, 8, 32))
            their = time.process_time() - began
            wanted, spent, updates = quality(images, learnt), 0.0, 0
            while quality(images, net.layers[0].filters.detach()) > wanted and updates < 400:
                for _ in range(4):
                    began = time.process_time()
                    partial_fit(net, images[updates % 4 : updates % 4 + 1])
                    spent += time.process_time() - began
                    updates += 1
            filters = net.layers[0].filters.detach()
            yield [
                str(number), str(seed), f"{their:.1f}", f"{wanted:.0f}", f"{quality(others, learnt):.0f}",
                f"{spent:.1f} ({updates})", f"{quality(images, filters):.0f}", f"{quality(others, filters):.0f}",
                f"{spent / their:.2f}",
            ]  # fmt: skip


def memory(names: list[str]) -> Iterator[list[str]]:
    """Rise of the peak memory of a process of its own, 30 iterations, MB."""
    for name in names:
        rises = []
        for which in ("ours", "sporco"):
            command = [sys.executable, __file__, "--rise", name, which]
            rises.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        yield [name, f"{rises[0]:.0f}", f"{rises[1]:.0f}"]


def rise(name: str, which: str) -> float:
    one = problem(name)
    forget_peak()
    before = peak()
    if which == "ours":
        sparse_code(one.image, one.filters, LAM, tol=0, max_iter=30)
    else:
        Sporco(one, tuned=False, iterations=30)
    return (peak() - before) / 1024


def forget_peak() -> None:
    """The peak begins anew (Linux)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Largest memory of this process so far, in kB."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("VmHWM")))


def synthesis_time() -> Iterator[list[str]]:
    """A first layer's way down beside its adjoint, ms: two images of 150x150, 15 maps of 7x7 under a valid boundary."""
    geometry = Geometry((150, 150), (7, 7), "valid")
    filters, image = torch.randn(15, 1, 7, 7), torch.randn(2, 1, 150, 150)
    z = torch.randn(2, 15, *geometry.maps)
    spectrum = spectra(filters, geometry)
    plain = filters.flip(2, 3).transpose(0, 1)
    times = [
        milliseconds(run)
        for run in (
            lambda: synthesis(z, filters, geometry, spectrum),
            lambda: torch.nn.functional.conv2d(z, plain),
            lambda: adjoint(image, filters, geometry),
        )
    ]
    down, direct, up = times
    yield [f"{down:.2f}", f"{direct:.2f}", f"{up:.2f}", f"{down / up:.1f}", f"{direct / up:.1f}"]


def milliseconds(run: Callable[[], Any], repeats: int = 50) -> float:
    run()
    found = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        found.append(time.process_time() - began)
    return 1e3 * statistics.median(found)


def online() -> Iterator[list[str]]:
    """Peak memory of learning, at several numbers of images."""
    net = AdaptiveDeconvNet.of([15], lam=0.5)
    random = torch.Generator().manual_seed(0)
    forget_peak()
    for count in (100, 1000, 10000):
        for _ in range(count // 4):
            partial_fit(net, torch.randn(4, 1, 64, 64, generator=random), max_iter=5)
        yield [str(count), f"{peak() / 1024:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="*", default=["P1", "P2", "P3", "P4", "P5"])
    parser.add_argument("--part", choices=PARTS, nargs="*", default=list(PARTS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rise", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    sporco.fft.pyfftw_threads = 1
    if given.rise:
        print(rise(*given.rise))
        return
    print(machine(), "sporco", sporco.__version__)
    names = given.problems
    tables = {
        "coding": (["problem", "", "ours s (iterations)", "SPORCO tuned s", "SPORCO default s", "ratio, tuned",
                    "ratio, default"], lambda: coding(names, given.runs)),
        "stopping": (["problem", "ours s (iterations)", "SPORCO s", "objective beside SPORCO's", "ratio",
                      "ours to SPORCO's objective + 1e-4 s", "ratio"], lambda: stopping(names, given.runs)),
        "dictionary": (["images", "seed", "SPORCO cns s", "quality", "held out", "ours s (updates)", "quality",
                        "held out", "ratio"], lambda: dictionary(3)),
        "memory": (["problem", "ours MB", "SPORCO MB"], lambda: memory(names)),
        "synthesis": (["way down ms", "as a plain convolution ms", "adjoint ms", "ratio", "ratio, plain"],
                      synthesis_time),
        "online": (["images", "peak MB"], online),
    }  # fmt: skip
    for part in given.part:
        print(f"\n{part}")
        table(tables[part][0], tables[part][1]())


if __name__ == "__main__":
    main()
