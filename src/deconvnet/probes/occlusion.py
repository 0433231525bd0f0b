"""What a network gives when parts of an image are covered, position by position."""

from dataclasses import dataclass
from typing import Any, Unpack

from jaxtyping import Float, Int, Shaped
from PIL import Image
from torch import Tensor

from deconvnet._checks import as_index, keywords, short
from deconvnet._errors import ArgumentError
from deconvnet._frames import frame
from deconvnet.models._names import answer_name
from deconvnet.pictures.plot import Plot, PlotOptions
from deconvnet.probes.evidence import Evidence
from deconvnet.probes.occluders import Occluders
from deconvnet.probes.occlusion_plot import ClassPanel, MapPanels, Panels
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.results.saved import Savable

_AXES = "zyx"


@dataclass(frozen=True, eq=False)
class Occlusion(Savable):
    """What a network gives when parts of an image are covered, one after the other.

    Names in the singular are of the image as it is, those in the plural of each position.

    Attributes:
        image: the network's input.
        occluders: what is covered; `len(result)` is the number of positions.
        fill: what stands in the covered part, in words.
        layer: where the maps are.
        channels: the maps whose activity was noted: the sum over all their positions.
        activity, activities: of each of these maps.
        classes: indices of the classes that were noted.
        score, scores: of each of these, before a softmax or sigmoid.
        probability, probabilities: the same as probabilities, 0 to 1.
        answer, answers: the most probable class.
        labels: index and name of each class that occurs, where names are known.
        pictures: each of the maps carried down whole.
        evidence: of each map, how the drop of its activity goes with what is covered of its picture.
        made_with: versions of deconvnet and torch.
    """

    image: Shaped[Tensor, "c *size"]
    occluders: Occluders
    fill: str
    layer: str
    channels: tuple[int, ...]
    activity: Float[Tensor, " m"]
    activities: Float[Tensor, "p m"]
    classes: tuple[int, ...]
    score: Float[Tensor, " k"]
    scores: Float[Tensor, "p k"]
    probability: Float[Tensor, " k"]
    probabilities: Float[Tensor, "p k"]
    answer: int
    answers: Int[Tensor, " p"]
    labels: tuple[tuple[int, str], ...]
    pictures: Reconstruction
    evidence: tuple[Evidence, ...]

    def __len__(self) -> int:
        return len(self.occluders)

    def __repr__(self) -> str:
        maps = "1 map" if len(self.channels) == 1 else f"{len(self.channels)} maps"
        classes = "1 class" if len(self.classes) == 1 else f"{len(self.classes)} classes"
        return f"<Occlusion: {repr(self.occluders)[12:-1]}, {maps} of layer {self.layer!r}, {classes}>"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know, in words."""
        return self.pictures.notes

    @property
    def drops(self) -> Float[Tensor, "p m"]:
        """By what share of itself each map's activity falls; below 0 where it grows."""
        return (self.activity - self.activities) / self.activity.abs()

    def label(self, index: int) -> str:
        """A class in words: its name, or "class 3" where names are not known.

        Raises:
            ArgumentError: it is not a whole number.
        """
        which = as_index(index)
        if which is None:
            raise ArgumentError(f"a class is named by its index here; got {short(index)}.")
        return dict(self.labels).get(which) or answer_name(None, which)

    def on_grid(self, values: Shaped[Tensor, "p *rest"]) -> Shaped[Tensor, "*grid_and_rest"]:
        """Values of the positions as they lie in the image: (*grid, ...), such as (rows, columns, maps).

        Raises:
            ArgumentError: not one value for each position.
        """
        if not isinstance(values, Tensor) or values.shape[:1] != (len(self),):
            raise ArgumentError(f"values are a tensor of one for each of the {len(self)} positions.")
        return values.reshape(*self.occluders.grid, *values.shape[1:])

    def on_pixels(self, values: Float[Tensor, " p"]) -> Float[Tensor, "*size"]:
        """Values of the positions on the image: of each pixel the mean over those that cover it; NaN where none does.

        Raises:
            ArgumentError: not one value for each position.
        """
        self.on_grid(values)
        if values.ndim != 1:
            raise ArgumentError(f"values of shape {tuple(values.shape)} are more than one for each position.")
        return self.occluders.over_pixels(values)

    def to_frame(self) -> Any:
        """A row for each position: a `pandas.DataFrame` if pandas is installed, else a dictionary of lists.

        Columns: its box in the image, which may reach past the border (y, x, y_end, x_end), activity_C of each map,
        score_K and probability_K of each class, and the most probable class, answer.
        """
        axes = _AXES[-len(self.occluders.size) :]
        low, high = self.occluders.boxes.unbind(1)
        columns: dict[str, Any] = {axis: low[:, i].tolist() for i, axis in enumerate(axes)}
        columns |= {f"{axis}_end": high[:, i].tolist() for i, axis in enumerate(axes)}
        columns |= {f"activity_{c}": self.activities[:, i].tolist() for i, c in enumerate(self.channels)}
        for name, values in (("score", self.scores), ("probability", self.probabilities)):
            columns |= {f"{name}_{k}": values[:, i].tolist() for i, k in enumerate(self.classes)}
        return frame({**columns, "answer": self.answers.tolist()})

    def figure(self, photo: Image.Image | None = None, **options: Unpack[PlotOptions]) -> Plot:
        """The panels of figure 7: photo, activity of the map, that map carried down, probability, most probable class.

        Values stand where the middle of what was covered was; those of masks of their own on all that they cover. Each
        further map and class has a row of its own. Of a volume the plane across the first axis is drawn where covering
        it costs most activity; signals along one axis are drawn as curves.

        Args:
            photo: such as `Preprocess.as_seen(photo)`; the network's input by default, as always for volumes.
            dpi, title: as in `Plot`.

        Raises:
            ArgumentError: `photo` is not a PIL image, or is given where none can be drawn.
        """
        keywords("Occlusion.figure", options, PlotOptions.__annotations__)
        maps = [
            MapPanels(
                f"{self.layer}, map {channel}", float(self.activity[i]), self.activities[:, i], self.pictures.whole(i),
                self.evidence[i],
            )
            for i, channel in enumerate(self.channels)
        ]  # fmt: skip
        classes = [
            ClassPanel(self.label(index), float(self.probability[i]), self.probabilities[:, i])
            for i, index in enumerate(self.classes)
        ]
        panels = Panels(self.image, photo, self.occluders, maps, classes, self.answers, self.label)
        title = f"{repr(self.occluders)[12:-1]}, filled with {self.fill}"
        return panels.plot(**PlotOptions({"title": title, **options}))

    _options = PlotOptions.__annotations__

    def _drawn(self, *, pixels: bool, **options: Unpack[PlotOptions]) -> Plot:
        return self.figure(**options)
