"""What a way down takes from the image, in words."""

from collections.abc import Sequence

from deconvnet.core.rules import OfImage

_NOUNS: dict[OfImage, str] = {"memory": "memory (of a rule of your own)"}
_WHERE: dict[OfImage, str] = {
    "switches": "where its maxima fell",
    "masks": "where its rectifiers were active",
    "gates": "its gates",
    "divisors": "the divisors of its contrast normalisation",
    "derivatives": "the derivatives at its activations",
    "factors": "factors that were computed from it",
    "memory": "what rules of your own remember",
}


def nouns(taken: Sequence[OfImage]) -> str:
    """What is taken, as in "the switches and gates of another image"; "" if nothing is."""
    return _joined([_NOUNS.get(kind, kind) for kind in taken])


def of_other_images(taken: Sequence[OfImage]) -> str:
    """Whose picture it is that other images give: "with the switches of other images"."""
    return f"with the {nouns(taken)} of other images" if taken else "in other images"


def of_another_image(taken: Sequence[OfImage]) -> str:
    """As `of_other_images`, of one."""
    return f"with the {nouns(taken)} of another image" if taken else "in another image"


def subject(taken: Sequence[OfImage]) -> str:
    """What decides a picture beside its unit, as the subject of a sentence in the singular."""
    if list(taken) == ["switches"]:
        return "where the image's maxima fell"
    return f"what the way down takes from the image ({_joined([_WHERE[kind] for kind in taken])})"


def _joined(words: Sequence[str]) -> str:
    *most, last = words or [""]
    return f"{', '.join(most)} and {last}" if most else last
