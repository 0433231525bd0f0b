"""Zeiler et al. (2010, 2011), one number at a time: slow, obvious, numpy float64.

Everything works on one image: images are `(channels, h, w)`, feature maps `(maps, h, w)`, filters
`(maps, channels, k, l)`. Nothing here was taken from the package; it is what the package is compared with.

* *Convolution* (2010, section 2; 2011, section 2.1). The activation at `u` of a map adds its filter to the image at
  `u - before`, so that the filter's cell `j` falls on `u + j - before`. "valid": the image is what the paper's valid
  convolution leaves of the maps, `before = k - 1`. "circular": what leaves the image at one border comes in at the
  opposite one, `before = 0`. "zero": maps have the image's size, what falls beside it is lost, `before = (k - 1) // 2`.
* *Pooling* (2011, section 2.2). Of a block of neighbouring maps, rows and columns the activation of largest magnitude,
  with its sign; of several the first, counted maps, rows, columns. Blocks at the end may be cut off.
* *Contrast.* The local mean is taken away, and what is left divided by the square root of its local mean square, not
  below a floor: 1 ("2010"), or the median over the image ("2011"; of the middle two the lower). Then the mean of the
  image's channel is taken away.
"""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

# convolution -----------------------------------------------------------------------------------------


def map_size(size: tuple[int, int], kernel: tuple[int, int], boundary: str) -> tuple[int, int]:
    """Of the feature maps that paint an image of a size."""
    return (size[0] + kernel[0] - 1, size[1] + kernel[1] - 1) if boundary == "valid" else size


def painted(z: np.ndarray, filters: np.ndarray, size: tuple[int, int], boundary: str) -> np.ndarray:
    """The image that feature maps paint: every activation adds its filter."""
    k, kk = filters.shape[2:]
    before = {"valid": (k - 1, kk - 1), "circular": (0, 0), "zero": ((k - 1) // 2, (kk - 1) // 2)}[boundary]
    image = np.zeros((filters.shape[1], *size))
    for m, row, column in np.argwhere(z):
        for i, j in product(range(k), range(kk)):
            y, x = row + i - before[0], column + j - before[1]
            if boundary == "circular":
                y, x = y % size[0], x % size[1]
            if 0 <= y < size[0] and 0 <= x < size[1]:
                image[:, y, x] += z[m, row, column] * filters[m, :, i, j]
    return image


def matrix(down: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Of a linear map, column by column: what it makes of each unit vector of a shape."""
    units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.stack([down(unit).ravel() for unit in units], 1)


def painting_matrix(filters: np.ndarray, size: tuple[int, int], boundary: str) -> np.ndarray:
    """R of one layer."""
    shape = (len(filters), *map_size(size, filters.shape[2:], boundary))
    return matrix(lambda z: painted(z, filters, size, boundary), shape)


# pooling ---------------------------------------------------------------------------------------------


def pooled(z: np.ndarray, block: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is left of maps; the switches, as numbers of places in whole blocks; and as places `(m, row, column)`."""
    p, q, s = block
    size = tuple(-(-length // step) for length, step in zip(z.shape, (s, p, q), strict=True))
    kept, numbers, places = np.zeros(size), np.zeros(size, dtype=int), np.zeros((*size, 3), dtype=int)
    for cell in product(*map(range, size)):
        best = -1.0
        for number, offset in enumerate(product(range(s), range(p), range(q))):
            place = tuple(c * step + o for c, step, o in zip(cell, (s, p, q), offset, strict=True))
            inside = all(at < length for at, length in zip(place, z.shape, strict=True))
            if inside and abs(z[place]) > best:
                best = abs(z[place])
                kept[cell], numbers[cell], places[cell] = z[place], number, place
    return kept, numbers, places


def unpooled(kept: np.ndarray, places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Every activation back at its place."""
    z = np.zeros(shape)
    for cell in product(*map(range, kept.shape)):
        z[tuple(places[cell])] = kept[cell]
    return z


# contrast --------------------------------------------------------------------------------------------


def gaussian(length: int, sigma: float) -> np.ndarray:
    """A window whose numbers sum to 1."""
    middle = length // 2
    cells = product(range(length), repeat=2)
    bell = np.array([np.exp(-((i - middle) ** 2 + (j - middle) ** 2) / (2 * sigma**2)) for i, j in cells])
    return (bell / bell.sum()).reshape(length, length)


def around(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The window's mean around every pixel of `(h, w)`, reflected at the borders without the border pixel twice."""
    (h, w), reach = image.shape, len(window) // 2
    wide = np.pad(image, reach, mode="reflect")
    result = np.zeros((h, w))
    for y, x in product(range(h), range(w)):
        result[y, x] = (window * wide[y : y + len(window), x : x + len(window)]).sum()
    return result


def contrast_normalised(image: np.ndarray, form: str) -> np.ndarray:
    """The image `(channels, h, w)` with its local contrast normalised."""
    length, sigma = {"2010": (5, 1.591), "2011": (13, 3 * 1.591)}[form]
    window, result = gaussian(length, sigma), []
    for channel in image:
        mean = around(channel, window)
        centred, deviation = channel - mean, np.sqrt(np.maximum(around(channel**2, window) - mean**2, 0))
        floor = 1.0 if form == "2010" else np.sort(deviation.ravel())[(deviation.size - 1) // 2]
        normalised = centred / np.maximum(deviation, floor)
        reach = length // 2
        inside = normalised[reach:-reach, reach:-reach] if form == "2010" else normalised
        normalised = np.pad(inside - inside.mean(), (channel.shape[0] - inside.shape[0]) // 2)
        result.append(normalised)
    return np.stack(result)


# sparse codes ----------------------------------------------------------------------------------------


def soft(x: np.ndarray | float, threshold: float) -> np.ndarray:
    """Max(|x| - threshold, 0) sign(x)."""
    return np.maximum(np.abs(x) - threshold, 0) * np.sign(x)


Lam = float | np.ndarray  # one for all coefficients, or one for each


def cost(r: np.ndarray, z: np.ndarray, y: np.ndarray, lam: Lam) -> float:
    """1/2 ||r z - y||^2 + sum of lam |z|."""
    return float(0.5 * ((r @ z.ravel() - y.ravel()) ** 2).sum() + (lam * np.abs(z.ravel())).sum())


def lasso(r: np.ndarray, y: np.ndarray, lam: Lam, *, nonneg: bool = False) -> np.ndarray:
    """The minimum of 1/2 ||r z - y||^2 + sum of lam |z|: one coordinate after the other, many times.

    Now and then the linear equations that hold where z is not 0 are solved; if then all conditions of the minimum hold
    to 1e-12, it is found.
    """
    gram, seen, z = r.T @ r, r.T @ y.ravel(), np.zeros(r.shape[1])
    left, lam = seen.copy(), np.broadcast_to(lam, z.shape)  # r' (y - r z)
    for sweep in range(1, 20_001):
        for i in np.flatnonzero(gram.diagonal()):
            best = left[i] + gram[i, i] * z[i]
            new = max(best - lam[i], 0.0) if nonneg else np.sign(best) * max(abs(best) - lam[i], 0.0)
            step = new / gram[i, i] - z[i]
            if step:
                left -= gram[:, i] * step
                z[i] += step
        if sweep % 20 == 0:
            exact, on = np.zeros_like(z), z != 0
            exact[on] = np.linalg.lstsq(gram[np.ix_(on, on)], seen[on] - lam[on] * np.sign(z[on]))[0]
            same_signs = np.array_equal(np.sign(exact), np.sign(z))
            if same_signs and violation(r, exact, y, lam, nonneg=nonneg) < 1e-12:
                return exact
    raise RuntimeError("no minimum was found")


def violation(r: np.ndarray, z: np.ndarray, y: np.ndarray, lam: Lam, *, nonneg: bool = False) -> float:
    """How far codes are from the conditions of the minimum: r'(y - r z) = lam sign(z) where z is not 0, and nowhere
    larger than lam."""
    z = z.ravel()
    seen = r.T @ (y.ravel() - r @ z)
    beyond = seen - lam if nonneg else np.abs(seen) - lam
    return float(np.where(z != 0, np.abs(seen - lam * np.sign(z)), np.maximum(beyond, 0)).max())


def shrunk_by_search(z: np.ndarray, p: float, beta: float) -> np.ndarray:
    """argmin_x |x|^p + beta/2 (x - z)^2 of every number: the cheapest of many, then of many near that one; or 0."""
    result = np.zeros_like(z)
    for at in np.ndindex(z.shape):
        size, low, high = abs(z[at]), 0.0, abs(z[at])
        for _ in range(8):
            x = np.linspace(low, high, 401)
            best = int(np.argmin(x**p + beta / 2 * (x - size) ** 2))
            low, high = x[max(best - 1, 0)], x[min(best + 1, 400)]
        found = x[best]
        if found**p + beta / 2 * (found - size) ** 2 < beta / 2 * size**2:
            result[at] = found * np.sign(z[at])
    return result


def half_quadratic(r: np.ndarray, y: np.ndarray, lam: float, p: float, betas: Sequence[float]) -> list[np.ndarray]:
    """Zeiler et al. 2010, section 2.2, with exact solutions: the codes after each beta."""
    z, found = np.zeros(r.shape[1]), []
    for beta in betas:
        x = shrunk_by_search(z, p, beta)
        z = np.linalg.solve(r.T @ r / lam + beta * np.eye(len(z)), r.T @ y.ravel() / lam + beta * x)
        found.append(shrunk_by_search(z, p, beta))
    return found


# SPORCO ----------------------------------------------------------------------------------------------


def sporco_problem() -> tuple[np.ndarray, np.ndarray, float]:
    """Image `(64, 64)`, filters `(8, 5, 5)` and lam of which `sporco_trajectory.json` tells."""
    from skimage.data import astronaut

    grey = astronaut()[40:104, 190:254].astype(float) @ [0.2125, 0.7154, 0.0721] / 255
    filters = np.random.default_rng(0).standard_normal((8, 5, 5))
    filters -= filters.mean((1, 2), keepdims=True)
    filters /= np.sqrt((filters**2).sum((1, 2), keepdims=True))
    return contrast_normalised(grey[None], "2011")[0], filters, 0.2


def textbook_admm(
    image: np.ndarray, filters: np.ndarray, lam: float, iterations: int
) -> tuple[list[float], list[float]]:
    """Objective and rho after each iteration of alternating directions in Fourier space, circular boundary.

    Boyd et al. 2011, section 3, with over-relaxation 1.8; the linear system by Sherman and Morrison's formula (Wohlberg
    2014); rho by SPORCO's rule (Wohlberg 2015): from 50 lam + 1, by the square root of the ratio of the relative
    residuals, which aims at 1 + 18.3^(log10(lam) + 1).
    """
    shape, target = image.shape, 1 + 18.3 ** (np.log10(lam) + 1)
    d = np.fft.fft2(filters, shape)
    seen, energy = d.conj() * np.fft.fft2(image), (np.abs(d) ** 2).sum(0)
    y = np.zeros((len(filters), *shape))
    u, rho = np.zeros_like(y), 50 * lam + 1
    values, rhos = [], []
    for i in range(iterations):
        right = seen + rho * np.fft.fft2(y - u)
        xf = (right - d.conj() * (d * right).sum(0) / (rho + energy)) / rho
        x = np.fft.ifft2(xf).real
        relaxed, old = 1.8 * x - 0.8 * y, y
        y = soft(relaxed + u, lam / rho)
        u = u + relaxed - y
        error = np.fft.ifft2((d * np.fft.fft2(y)).sum(0)).real - image
        values.append(0.5 * float((error**2).sum()) + lam * float(np.abs(y).sum()))
        rhos.append(rho)
        primal = np.linalg.norm(x - y) / max(np.linalg.norm(x), np.linalg.norm(y))
        dual = np.linalg.norm(y - old) / np.linalg.norm(u)
        if i == 0:
            continue
        ratio = primal / (dual * target)
        factor = min(np.sqrt(max(ratio, 1 / ratio)), 1000.0)
        factor = factor if ratio > 1.2 else 1 / factor if ratio < 1 / 1.2 else 1.0
        rho, u = rho * factor, u / factor
    return values, rhos
