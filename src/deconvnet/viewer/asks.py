"""What a visitor's page may ask of a bench. No torch here.

A request never names a model, a file or an address: photos are named by the bench's own keys, layers and rule sets by
the names that it has.
"""

from typing import Annotated

from msgspec import Meta, Struct

Key = Annotated[str, Meta(max_length=64)]
Name = Annotated[str, Meta(max_length=1000)]
Index = Annotated[int, Meta(ge=0, lt=2**31)]
Position = Annotated[list[Index], Meta(max_length=2)]
Pixels = Annotated[float, Meta(ge=-1e5, le=1e5)]


class Ask(Struct, forbid_unknown_fields=True, frozen=True):
    """What all have in common.

    Attributes:
        photo: its key.
    """

    photo: Key


class LayerAsk(Ask, frozen=True):
    """The feature maps of a layer, the strongest first.

    Attributes:
        layer: its name.
        count: maximum number of them.
        channel: one that is wanted besides these.
    """

    layer: Name
    count: Annotated[int, Meta(ge=1, le=4096)] = 48
    channel: Index | None = None


class UnitAsk(Ask, frozen=True):
    """A unit, carried down.

    Attributes:
        layer: its name.
        channel: its feature map.
        position: index per spatial axis.
        rules: the rule set's name.
    """

    layer: Name
    channel: Index
    position: Position
    rules: Name


class ClassesAsk(Ask, frozen=True):
    """The photo's classes of some name.

    Attributes:
        text: words that the name holds, or the index of the class.
    """

    text: Name


class ClassAsk(Ask, frozen=True):
    """A class, carried down.

    Attributes:
        klass: its rank among the photo's classes, 0 for the likeliest.
        rules: the rule set's name.
    """

    klass: Index
    rules: Name


class PixelAsk(Ask, frozen=True):
    """The units that see a pixel.

    Attributes:
        row, column: of the network's input.
        rules: the rule set's name.
        layer: one of which more units are wanted.
    """

    row: Index
    column: Index
    rules: Name
    layer: Name = ""


class Dab(Struct, forbid_unknown_fields=True, frozen=True, array_like=True):
    """A disc that a brush covers, in pixels of the network's input."""

    row: Pixels
    column: Pixels
    radius: Annotated[float, Meta(gt=0, le=1e5)]


class HideAsk(Ask, frozen=True):
    """The same photo with parts of it covered.

    Attributes:
        dabs: what the brush covers.
        visitor: whose photo it becomes.
    """

    dabs: Annotated[list[Dab], Meta(min_length=1, max_length=2000)]
    visitor: Key = ""


class Mark(Struct, forbid_unknown_fields=True, frozen=True):
    """A box around a part of a photo, in pixels of the network's input.

    Attributes:
        photo: the photo's key.
        top, left, bottom, right: the corners.
    """

    photo: Key
    top: Pixels
    left: Pixels
    bottom: Pixels
    right: Pixels


class MarksAsk(Struct, forbid_unknown_fields=True, frozen=True):
    """Whether the network relates the same part of several photos.

    Attributes:
        marks: the part in each of them.
    """

    marks: Annotated[list[Mark], Meta(min_length=2, max_length=16)]


class SampleAsk(Struct, forbid_unknown_fields=True, frozen=True):
    """One of the sample photos.

    Attributes:
        sample: its name, without "sample:".
    """

    sample: Name
