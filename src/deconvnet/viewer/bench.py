"""A bench: a network, and photos in memory to try it on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import instance, short
from deconvnet._errors import ArgumentError
from deconvnet._version import __version__
from deconvnet.capture.untouched import unwrap
from deconvnet.core.rules import RULE_SETS
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet, attached, layers_of
from deconvnet.photos.photo import SAMPLES, Photo, PhotoLike, decode_photo, load_photo
from deconvnet.viewer.images import photo_pictures
from deconvnet.viewer.look import Seen, short_name, shown_layers
from deconvnet.viewer.photo_store import PhotoStore
from deconvnet.viewer.repeat import flags, setup, source, title
from deconvnet.viewer.select import Likely, Ranked, ranked
from deconvnet.viewer.ways import lesson

_FILE_NAME = 120  # letters


@dataclass(frozen=True, eq=False)
class Arrived:
    """A photo that was read, no larger than the network sees it.

    Attributes:
        seen: the photo and the network's input.
        pictures: what a page shows of it.
    """

    seen: Seen
    pictures: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class BenchPhoto:
    """A photo on the bench, as the network sees it.

    Attributes:
        seen: the photo and the network's input.
        view: what a page is told of it.
        classes: all of them, the likeliest first.
    """

    seen: Seen
    view: Mapping[str, Any]
    classes: Ranked

    @property
    def size(self) -> int:
        """About the bytes that it takes in memory."""
        pictures = sum(len(value) for value in self.view.values() if isinstance(value, str))
        return self.seen.x.nbytes + self.seen.photo.levels.nbytes + self.classes.nbytes + pictures


class AsItIs:
    """A loaded model whose photos are inputs: they have the input's size, and nothing is resized or cut off.

    Args:
        loaded: the model.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        preprocess = replace(loaded.preprocess, short_side=None, value_range=None)
        self.loaded = replace(loaded, preprocess=preprocess)

    def photo(self, x: Float[Tensor, "1 c h w"]) -> Photo:
        """The photo that becomes an input, to the last digits of a float."""
        preprocess = self.loaded.preprocess
        mean, std = (x.new_tensor(values).view(-1, 1, 1) for values in (preprocess.mean, preprocess.std))
        levels = ((x[0] * std + mean) / preprocess.scale).clamp(0, 1).permute(1, 2, 0).float().cpu().numpy()
        return Photo(levels)


class Bench:
    """A network and photos to try things on; calls must not overlap, but for those of `read` and `sample`.

    Args:
        net: the network and the way down that is shown first.
        loaded: how photos become its input, and what its classes are called.

    Raises:
        ArgumentError: loaded is of another network, which takes volumes, or without a layer to show.

    Attributes:
        net, loaded: as they were given.
        nets: the network by the name of each rule set.
        layers: those that are shown.
        photos: those in memory.
        as_it_is: the same network for photos that are inputs already.
    """

    def __init__(self, net: DeconvNet, loaded: LoadedModel) -> None:
        instance("net", net, DeconvNet)
        if unwrap(instance("loaded", loaded, LoadedModel).model) is not net.model:
            raise ArgumentError("loaded holds another network than net: attach DeconvNet(loaded.model, ...).")
        attached(net).check_labels(loaded.labels)
        loaded.preprocess.check_images("the bench")
        self.loaded, self.photos, self.as_it_is = loaded, PhotoStore[BenchPhoto](), AsItIs(loaded)
        self.nets = {net.rules.name: net}
        for name in RULE_SETS:
            self.nets.setdefault(name, net.with_rules(name))
        self.layers = shown_layers(net, loaded, None)
        self.net, self._infos = net, layers_of(net, loaded.example_input)

    @property
    def title(self) -> str:
        """The network's name, for people."""
        return title(self.net, self.loaded)

    def about(self) -> dict[str, Any]:
        """What a page is told of the network: its name, its layers, the rule sets, and the sample photos."""
        ways = {
            name: {"setup": setup(net, self.loaded), "flags": flags(net, self.loaded), "lesson": lesson(net.rules)}
            for name, net in self.nets.items()
        }
        height, width = self.loaded.preprocess.size
        return {"model": self.title, "rules": ways, "samples": SAMPLES, "input_size": (height, width),
                "layers": [self.layer_facts(name) for name in self.layers], "version": __version__}  # fmt: skip

    def read(self, data: bytes, name: str) -> Arrived:
        """A photo from the bytes of its file, which are looked at here and never again.

        Raises:
            PhotoError: it cannot be used.
        """
        name = name.replace("\\", "/").rpartition("/")[2][-_FILE_NAME:] or "photo"
        photo = decode_photo(data, name, self.loaded.preprocess.reading)
        return self._arrived(photo, name, source(name) if "." in name.strip(".") else "")

    def sample(self, name: str) -> Arrived:
        """A sample photo, by its name without "sample:".

        Raises:
            ArgumentError: it is not one of them.
        """
        if name not in SAMPLES:
            raise ArgumentError(f"{short(name)} is not a sample photo. The samples are {', '.join(SAMPLES)}.")
        return self.take(f"sample:{name}")

    def take(self, photo: PhotoLike) -> Arrived:
        """A photo of the user's own, from anything that `load_photo` takes.

        Raises:
            PhotoError, ArgumentError: it cannot be used.
        """
        loaded_photo = self.loaded.preprocess.read(photo)
        return self._arrived(loaded_photo, short_name(photo, loaded_photo), source(photo))

    def put(self, arrived: Arrived, visitor: str = "") -> dict[str, Any]:
        """Run the network on a photo, and hold it.

        Returns:
            What a page is told of it: its key, its picture and its likeliest classes.

        Raises:
            NotFiniteError: the network gives NaN or infinity for it.
        """
        seen = arrived.seen
        classes = ranked(self.net.probabilities(seen.x)[0], self.loaded.labels)
        view = {"name": seen.name, "source": seen.source, "input_size": tuple(seen.x.shape[2:]),
                "classes": [self.class_facts(likely) for likely in classes.first], "every_class": len(classes),
                **arrived.pictures}  # fmt: skip
        photo = BenchPhoto(seen, view, classes)
        return {**view, "key": self.photos.add(photo, photo.size, visitor)}

    def of(self, visitor: str) -> list[dict[str, Any]]:
        """The photos that a visitor brought before."""
        return [{**photo.view, "key": key} for key, photo in self.photos.of(visitor).items()]

    def _arrived(self, photo: Photo, name: str, source: str) -> Arrived:
        preprocess = self.loaded.preprocess
        x = preprocess.images(photo).to(self.loaded.example_input)
        image, whole, part = photo_pictures(preprocess, photo)
        pictures = {"image": image, "whole": whole, "seen": part, "notes": preprocess.notes(photo), "hidden": []}
        return Arrived(Seen(load_photo(preprocess.as_seen(photo)), name, source, x), pictures)

    def class_facts(self, likely: Likely) -> dict[str, Any]:
        """What a page is told of a class."""
        return likely.facts(self.loaded)

    def layer_facts(self, name: str) -> dict[str, Any]:
        """What a page is told of a layer."""
        info = self._infos[name]
        return {"name": name, "size": info.size, "channels": info.channels, "field": info.receptive_field}

    def layer_name(self, name: str) -> str:
        """The name of a layer that is shown.

        Raises:
            ArgumentError: it is not one.
        """
        if name not in self.layers:
            raise ArgumentError(f"layer {short(name)} is not one of those shown: {', '.join(self.layers)}.")
        return name

    def net_of(self, rules: str) -> DeconvNet:
        """The network with a rule set.

        Raises:
            ArgumentError: it is not the name of one.
        """
        if rules not in self.nets:
            raise ArgumentError(f"no rule set is called {short(rules)}: use one of {', '.join(self.nets)}.")
        return self.nets[rules]
