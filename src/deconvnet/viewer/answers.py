"""What a bench answers to each thing that a visitor's page may ask of it."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from deconvnet._checks import short
from deconvnet._devices import in_float64
from deconvnet._errors import ArgumentError
from deconvnet._files import decode_json
from deconvnet._types import Unit
from deconvnet.network import DeconvNet
from deconvnet.pictures.numbers import percent
from deconvnet.probes.correspondence_table import Row
from deconvnet.probes.covered_parts import correspondence
from deconvnet.probes.part_boxes import Part
from deconvnet.probes.quick import quick_trust
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.viewer import asks
from deconvnet.viewer.bench import Arrived, Bench, BenchPhoto
from deconvnet.viewer.brush import covered, covered_picture, covered_x
from deconvnet.viewer.images import forward_tile, map_image, signal_picture, webp
from deconvnet.viewer.layer_views import Units, cell_view, corners, outline_of
from deconvnet.viewer.look import Look, Seen, look_at
from deconvnet.viewer.passing import Passing
from deconvnet.viewer.select import Likely, units_seeing
from deconvnet.viewer.views import Contributions, class_view
from deconvnet.viewer.ways import Words, layer_names, way_view
from deconvnet.ways import costs, undone

T = TypeVar("T")

Check = Callable[[], None]
"""Raises if nobody waits for the answer any more; called now and then in what takes long."""

_MOST_LOOKS = 2  # photos of which what the network did is held, for their steps
_LISTED = 20  # classes of a search that are listed
_SEEING, _SEEING_OF_LAYER = 4, 12  # units of a layer
_PART = "the part"  # that is marked


@dataclass(eq=False)
class _Looked:
    """What the network did with a photo, under a rule set, and what its classes rest on."""

    look: Look
    rests_on: dict[int, Contributions] = field(default_factory=dict)


class Answers:
    """The answers of a bench; calls must not overlap.

    Args:
        bench: what is asked.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench, self._looks = bench, OrderedDict[tuple[str, str], _Looked]()
        self._answers: dict[str, tuple[type[Any], Callable[[Any, Check], object]]] = {
            "layer": (asks.LayerAsk, self._layer), "unit": (asks.UnitAsk, self._unit),
            "unit-steps": (asks.UnitAsk, self._unit_steps), "classes": (asks.ClassesAsk, self._classes),
            "class": (asks.ClassAsk, self._class),
            "class-steps": (asks.ClassAsk, self._class_steps), "rests-on": (asks.ClassAsk, self._rests_on),
            "seeing": (asks.PixelAsk, self._seeing), "hide": (asks.HideAsk, self._hide),
            "unit-trust": (asks.UnitAsk, self._unit_trust), "class-trust": (asks.ClassAsk, self._class_trust),
            "correspondence": (asks.MarksAsk, self._correspondence),
        }  # fmt: skip

    def answer(self, what: str, data: bytes, check: Check = lambda: None) -> object:
        """The answer to a request, as `as_json` takes it.

        Args:
            what: kind of request, such as "unit".
            data: the request, as JSON: see `asks`.
            check: see `Check`.

        Raises:
            ArgumentError: it is not a request that the bench knows, or is of another form.
            PhotoGoneError: the photo is no longer in memory.
            DeconvNetError: as the methods of `DeconvNet`.
        """
        if what not in self._answers:
            raise ArgumentError(f"{short(what)} is not something to ask. Ask for {', '.join(self._answers)}.")
        kind, answer = self._answers[what]
        return answer(decoded(data, kind), check)

    def _likely(self, ask: asks.ClassAsk) -> tuple[BenchPhoto, Likely]:
        photo = self._bench.photos[ask.photo]
        if ask.klass >= len(photo.classes):
            raise ArgumentError(f"the photo has {len(photo.classes)} classes; got the rank {ask.klass}.")
        return photo, photo.classes[ask.klass]

    def _layer(self, ask: asks.LayerAsk, check: Check) -> dict[str, Any]:
        """A layer's strongest maps, each with its strongest unit."""
        name = self._bench.layer_name(ask.layer)
        maps = self._bench.net.activations(self._bench.photos[ask.photo].seen.x, [name])[name][0]
        if ask.channel is not None and ask.channel >= len(maps):
            raise ArgumentError(f"layer {name!r} has {len(maps)} feature maps; got the channel {ask.channel}.")
        flat = in_float64(maps.flatten(1) if maps.ndim > 1 else maps[:, None])
        peaks, at = (values.cpu() for values in flat.max(1))
        order = torch.sort(peaks, descending=True, stable=True).indices[: ask.count].tolist()
        order += [ask.channel] if ask.channel is not None and ask.channel not in order else []
        return {**self._bench.layer_facts(name), "alive": int((peaks > 0).sum()), "left_out": 0, "notes": [], "maps": [
            {"channel": channel, "image": map_image(maps[channel]), "cells": [
                {"position": _position(int(at[channel]), tuple(maps.shape[1:])), "activation": _rounded(peaks[channel])}
            ]} for channel in order
        ]}  # fmt: skip

    def _projected(self, ask: asks.UnitAsk) -> Reconstruction:
        name, x = self._bench.layer_name(ask.layer), self._bench.photos[ask.photo].seen.x
        unit = Unit(name, ask.channel, tuple(ask.position), 0)
        return self._bench.net_of(ask.rules).project(x, name, units=[unit])

    def _explained(self, ask: asks.ClassAsk) -> tuple[Reconstruction, Likely]:
        photo, likely = self._likely(ask)
        return self._bench.net_of(ask.rules).explain(photo.seen.x, likely.target), likely

    def _unit(self, ask: asks.UnitAsk, check: Check) -> dict[str, Any]:
        """A unit's picture."""
        result = self._projected(ask)
        box = result.box(0)
        return {
            "channel": ask.channel,
            "position": ask.position,
            "activation": _rounded(result.activations[0]),
            "box": corners(box),
            "picture": webp(signal_picture(result, 0, box)),
            "notes": result.notes,
        }

    def _classes(self, ask: asks.ClassesAsk, check: Check) -> dict[str, Any]:
        """The photo's classes of a name: how many there are, and the first of them, each with its rank."""
        classes = self._bench.photos[ask.photo].classes
        ranks = classes.matching(ask.text, self._bench.loaded)
        listed = [{**self._bench.class_facts(classes[rank]), "klass": rank} for rank in ranks[:_LISTED]]
        return {"count": len(ranks), "classes": listed}

    def _class(self, ask: asks.ClassAsk, check: Check) -> dict[str, Any]:
        """A class's picture."""
        result, likely = self._explained(ask)
        box = result.box(0, "energy" if likely.position else "none")
        return {"box": corners(box), "outline": outline_of(result, 0), "picture": webp(signal_picture(result, 0, box)),
                "notes": result.notes}  # fmt: skip

    def _unit_trust(self, ask: asks.UnitAsk, check: Check) -> dict[str, Any]:
        """What a unit's picture rests on."""
        return self._trust(ask, self._projected(ask))

    def _class_trust(self, ask: asks.ClassAsk, check: Check) -> dict[str, Any]:
        """What a class's picture rests on."""
        return self._trust(ask, self._explained(ask)[0])

    def _trust(self, ask: asks.UnitAsk | asks.ClassAsk, result: Reconstruction) -> dict[str, Any]:
        net, x = self._bench.net_of(ask.rules), self._bench.photos[ask.photo].seen.x
        return {"line": quick_trust(net, x, result, preprocess=self._bench.loaded.preprocess).line()}

    def _looked(self, photo: str, rules: str) -> _Looked:
        net, seen, key = self._bench.net_of(rules), self._bench.photos[photo].seen, (photo, rules)
        if key not in self._looks:
            self._looks[key] = _Looked(look_at(net, self._bench.loaded, seen, self._bench.layers))
        self._looks.move_to_end(key)
        while len(self._looks) > _MOST_LOOKS:
            self._looks.popitem(last=False)
        return self._looks[key]

    def _unit_steps(self, ask: asks.UnitAsk, check: Check) -> dict[str, Any]:
        """A unit's way down."""
        name, words = self._bench.layer_name(ask.layer), Words()
        look = self._looked(ask.photo, ask.rules).look
        check()
        way, passing = way_view(look, undone(look.net, name, look.x), words), Passing(look.passed, look.unpooled)
        names, unit = layer_names(look, way.down), Unit(name, ask.channel, tuple(ask.position), 0)
        result = look.net.project(look.x, name, units=[unit], watch=passing.watch)
        cell = cell_view(result, 0, passing, names)
        return {
            "steps": cell.steps,
            "switches": cell.switches,
            "down": way.down,
            "how": way.how,
            **_passed(look, words),
        }

    def _class_steps(self, ask: asks.ClassAsk, check: Check) -> dict[str, Any]:
        """A class's way down."""
        _, likely = self._likely(ask)
        looked, words = self._looked(ask.photo, ask.rules), Words()
        check()
        view, looked.rests_on[ask.klass] = class_view(looked.look, likely, words)
        return {"steps": view.steps, "switches": view.switches, "down": view.down, "how": view.how,
                **_passed(looked.look, words)}  # fmt: skip

    def _rests_on(self, ask: asks.ClassAsk, check: Check) -> list[dict[str, Any]]:
        """The units that a class rests on, by layer, with their pictures."""
        _, likely = self._likely(ask)
        looked = self._looked(ask.photo, ask.rules)
        if ask.klass not in looked.rests_on:
            _, looked.rests_on[ask.klass] = class_view(looked.look, likely, Words())
        groups = []
        for i, name in enumerate(self._bench.layers):
            contributions = looked.rests_on[ask.klass].get(name, ())
            check()
            units = self._drawn(looked.look.net, looked.look.x, name, [unit[:2] for unit in contributions])
            shares = [_rounded(share) for _, _, share in contributions]
            groups.append({"layer": i, "units": [{**unit, "share": s} for unit, s in zip(units, shares, strict=True)]})
        return groups

    def _seeing(self, ask: asks.PixelAsk, check: Check) -> list[dict[str, Any]]:
        """The strongest units of each layer that see a pixel, with their pictures."""
        net, x = self._bench.net_of(ask.rules), self._bench.photos[ask.photo].seen.x
        maps, groups = net.activations(x, self._bench.layers), []
        for i, name in enumerate(self._bench.layers):
            check()
            most = _SEEING_OF_LAYER if name == ask.layer else _SEEING
            units = units_seeing(maps[name][0], costs(net, name).field, (ask.row, ask.column), most)
            groups.append({"layer": i, "units": self._drawn(net, x, name, units)})
        return groups

    def _drawn(self, net: DeconvNet, x: Tensor, name: str, units: Units) -> list[dict[str, Any]]:
        """Units of a layer with their pictures."""
        if not units:
            return []
        result = net.project(x, name, units=[Unit(name, channel, position, 0) for channel, position in units])
        return [
            {"channel": channel, "position": position, "activation": _rounded(result.activations[i]),
             "picture": webp(signal_picture(result, i, result.box(i)))}
            for i, (channel, position) in enumerate(units)
        ]  # fmt: skip

    def _hide(self, ask: asks.HideAsk, check: Check) -> dict[str, Any]:
        """The photo with parts of it covered, as another photo, and how its classes change."""
        photo = self._bench.photos[ask.photo]
        size = tuple(photo.seen.x.shape[2:])
        mask = covered(size, ask.dabs)
        if not mask.any():
            raise ArgumentError("the brush covers nothing of the photo: it lies outside.")
        (x, fill), share = covered_x(photo.seen.x, mask), float(mask.double().mean())
        image = covered_picture(photo.view["image"], ask.dabs, size, self._bench.loaded.preprocess)
        seen = Seen(photo.seen.photo, f"{photo.seen.name}, {percent(share)} hidden", photo.seen.source, x)
        note = f"{percent(share)} of what the network sees is covered with {fill}."
        hidden = [*photo.view["hidden"], *((dab.row, dab.column, dab.radius) for dab in ask.dabs)]
        pictures = {"image": image, "whole": "", "seen": (0.0, 0.0, 1.0, 1.0), "notes": (note,), "hidden": hidden}
        view = self._bench.put(Arrived(seen, pictures), ask.visitor)
        before, after = (self._bench.net.probabilities(each)[0] for each in (photo.seen.x, x))
        classes = dict.fromkeys([*photo.classes.first, *self._bench.photos[view["key"]].classes.first])
        changes = {likely.index: {**self._bench.class_facts(likely), "before": _largest(before, likely.index),
                                  "after": _largest(after, likely.index)} for likely in classes}  # fmt: skip
        return {"photo": view, "changes": list(changes.values())}

    def _correspondence(self, ask: asks.MarksAsk, check: Check) -> dict[str, Any]:
        """How alike features change where the same part of several photos is covered, beside random regions."""
        bench, names = self._bench, [f"photo {i}" for i in range(len(ask.marks))]
        height, width = bench.loaded.preprocess.size
        inside = [
            Part(name, _PART, max(mark.left, 0), max(mark.top, 0), min(mark.right, width), min(mark.bottom, height))
            for name, mark in zip(names, ask.marks, strict=True)
        ]
        photos = [bench.as_it_is.photo(bench.photos[mark.photo].seen.x) for mark in ask.marks]
        result = correspondence(
            bench.net, photos, inside, loaded=bench.as_it_is.loaded, names=names, progress=lambda done, total: check()
        )
        return {"rows": [_row_facts(row) for row in result.rows()], "placements": result.placements,
                "notes": result.notes}  # fmt: skip


def _row_facts(row: Row) -> dict[str, Any]:
    return {"layer": row.layer, "distance": row.distance, "random": row.random, "p_value": row.p_value,
            "changed": row.changed, "random_changed": row.random_changed}  # fmt: skip


def decoded(data: bytes, kind: type[T]) -> T:
    """A request.

    Raises:
        ArgumentError: it is of another form.
    """
    try:
        return decode_json(data, kind)
    except ValueError as fault:
        raise ArgumentError(f"the request is not of the form that the bench knows: {fault}.") from fault


def _passed(look: Look, words: Words) -> dict[str, Any]:
    passed = [{"name": name, "forward": forward_tile(values)} for name, values in look.passed.items()]
    return {"passed": passed, "words": tuple(words)}


def _position(index: int, size: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(divmod(index, size[1])) if len(size) == 2 else (index,) if size else ()


def _largest(probabilities: Tensor, index: int) -> float:
    return _rounded(probabilities[index].max())


def _rounded(value: Any) -> float:
    return float(f"{float(value):.6g}")
