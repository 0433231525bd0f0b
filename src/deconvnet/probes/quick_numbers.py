"""What the quick set tells of the pictures of a result."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import index_of
from deconvnet._frames import frame
from deconvnet._types import Unit
from deconvnet.results.columns import unit_columns
from deconvnet.results.saved import Savable

_NAN = float("nan")
_TWINS = ("other_unit", "second_other_unit", "noise", "other_image")


@dataclass(frozen=True)
class Alike:
    """Of one picture: cosine and rank correlation with each of its twins, rank correlation with the image's edges.

    Attributes:
        cosines, ranks: with two other units, noise, and the other image; None where not defined.
        edges: the rank correlation of strength and edges.
        others: what the other image is.
        taken: what the way down takes from the image, such as "switches and gates".
        why_not: why it was not looked at; "" if it was.
    """

    cosines: tuple[float | None, ...] = (None,) * len(_TWINS)
    ranks: tuple[float | None, ...] = (None,) * len(_TWINS)
    edges: float | None = None
    others: str = ""
    taken: str = ""
    why_not: str = ""


@dataclass(frozen=True, eq=False)
class QuickTrust(Savable):
    """How alike pictures are to what they should differ from: 1 if the same, about 0 if unrelated.

    NaN where it is not defined: the layer has a single map, the image lacks edges, or the picture was left out.

    Attributes:
        units: whose pictures they are.
        other_units: (m, 2) cosine of each picture with those of two other units at its position.
        noise: (m,) with the picture of noise, the magnitude of a normal value on each map at its position.
        other_image: (m,) with the picture of the same unit in another image.
        ranks: (m, 4) the rank correlations with these four, of the signed signals.
        edges: (m,) rank correlation of the picture's strength and the edges of its image.
        others: of each, what the other image was.
        why_not: of each, why it was not looked at; "" if it was.
        taken: of each, what the way down takes from the image, such as "switches and gates"; "" if nothing.
        made_with: versions of deconvnet and torch.
    """

    units: tuple[Unit, ...]
    other_units: Float[Tensor, "m 2"]
    noise: Float[Tensor, " m"]
    other_image: Float[Tensor, " m"]
    ranks: Float[Tensor, "m 4"]
    edges: Float[Tensor, " m"]
    others: tuple[str, ...]
    why_not: tuple[str, ...]
    taken: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.units)

    def __repr__(self) -> str:
        layers = ", ".join(dict.fromkeys(repr(unit.layer) for unit in self.units))
        return f"<QuickTrust: {'1 unit' if len(self) == 1 else f'{len(self)} units'} of layer {layers}>"

    def line(self, i: int = 0) -> str:
        """What was measured of unit i, in one line.

        Args:
            i: index of the unit.

        Raises:
            ArgumentError: no such unit.
        """
        i = index_of(i, len(self), "units")
        if self.why_not[i]:
            return f"not measured: {self.why_not[i]}"
        units = " and ".join(f"{value:.2f}" for value in self.other_units[i].tolist() if not isnan(value))
        taken = f"with the {self.taken[i]} of" if self.taken and self.taken[i] else "in"
        cosines = [
            ("other units here", units),
            ("noise here", _rounded(self.noise[i])),
            (f"the unit {taken} another image (from {self.others[i]})", _rounded(self.other_image[i])),
        ]
        said = ", ".join(f"{name} {value or 'not defined'}" for name, value in cosines)
        return f"cosine with {said}; rank correlation with edges {_rounded(self.edges[i]) or 'not defined'}"

    def facts(self, i: int = 0) -> dict[str, Any]:
        """What was measured of unit i, by name; None where it is not defined.

        Args:
            i: index of the unit.

        Raises:
            ArgumentError: no such unit.
        """
        i = index_of(i, len(self), "units")
        if self.why_not[i]:
            return {"why_not": self.why_not[i]}
        cosines = [*self.other_units[i].tolist(), *torch.stack([self.noise[i], self.other_image[i]]).tolist()]
        pairs = [
            {"cosine": _defined(cosine), "spearman": _defined(rank)}
            for cosine, rank in zip(cosines, self.ranks[i].tolist(), strict=True)
        ]
        return {
            "other_units": pairs[:2], "noise": pairs[2], "other_image": {**pairs[3], "images": self.others[i]},
            "edges": {"spearman": _defined(float(self.edges[i]))},
            "taken_from_the_image": self.taken[i] if self.taken else "",
        }  # fmt: skip

    def to_frame(self) -> Any:
        """A row for each unit: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: layer, channel, position (y and x of an image), image; cosine and rank correlation with each of the
        other pictures, such as other_unit_cosine and noise_spearman; edges_spearman; others; and why_not.
        """
        axes = max([1, *(len(unit.position or ()) for unit in self.units)])
        cosines = [*self.other_units.T.tolist(), self.noise.tolist(), self.other_image.tolist()]
        columns: dict[str, list[Any]] = {**unit_columns(self.units, axes)}
        for name, column, ranks in zip(_TWINS, cosines, self.ranks.T.tolist(), strict=True):
            columns |= {f"{name}_cosine": column, f"{name}_spearman": ranks}
        others, why_not = list(self.others), list(self.why_not)
        return frame({**columns, "edges_spearman": self.edges.tolist(), "others": others, "why_not": why_not})


def quick_trust_of(units: tuple[Unit, ...], rows: Sequence[Alike]) -> QuickTrust:
    """The numbers of some units, together."""
    cosines = _tensor([row.cosines for row in rows], len(_TWINS))
    return QuickTrust(
        units=units,
        other_units=cosines[:, :2],
        noise=cosines[:, 2],
        other_image=cosines[:, 3],
        ranks=_tensor([row.ranks for row in rows], len(_TWINS)),
        edges=_tensor([(row.edges,) for row in rows], 1)[:, 0],
        others=tuple(row.others for row in rows),
        why_not=tuple(row.why_not for row in rows),
        taken=tuple(row.taken for row in rows),
    )


def _tensor(values: Sequence[Sequence[float | None]], columns: int) -> Float[Tensor, "m columns"]:
    defined = [[_NAN if value is None else value for value in row] for row in values]
    return torch.tensor(defined, dtype=torch.float64, device="cpu").reshape(len(values), columns)


def _defined(value: float) -> float | None:
    return None if isnan(value) else value


def _rounded(value: Tensor) -> str:
    return "" if isnan(float(value)) else f"{float(value):.2f}"
