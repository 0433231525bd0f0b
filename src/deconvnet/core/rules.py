"""A way down as a set of choices, and how a single step is undone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, TypeVarTuple, get_args

from torch import Tensor

from deconvnet._checks import short
from deconvnet._errors import ArgumentError
from deconvnet.core.graph import Step, Value, fill, once, values_in

Smooth = Literal["refuse", "rectify", "gradient"]
Memory = Mapping[str, Tensor]
OfImage = Literal["switches", "masks", "gates", "divisors", "derivatives", "factors", "memory"]
T = TypeVar("T")
Parts = TypeVarTuple("Parts")


@dataclass(frozen=True)
class RuleSet:
    """One way down: a point in the space that Mahendran and Vedaldi (2016) laid out.

    Attributes:
        forward_mask: at a ReLU, let the signal through only where the activation was positive.
        backward_rectify: at a ReLU, rectify the signal.
        unpool: "switches" puts a value back where the maximum was, "centre" in the middle of the
            window, "average" evenly over the window.
        overlap: where pooling windows share a switch, "sum" or "max" (of magnitude) of their values.
        lrn: local response normalisation is passed over ("identity"), undone by multiplying with the
            divisor of the way up ("divisor"), or differentiated ("gradient").
        gates: in a product with a map of a single value, as in squeeze-and-excite, the single value
            is a "constant" of the way up, or both are signals ("product").
        smooth: activations that are not rectifiers are refused, treated as ReLU is ("rectify") or
            differentiated ("gradient"); "gradient" admits other smooth operations as well.
        detach: where the network detaches a value (`detach()`, `.data`, `no_grad`), the signal passes ("identity"),
            or stops ("zero"), as a derivative does.

    The values named `deconvnet`, `guided` and `gradient` are `RULE_SETS`. `gradient` is plain back-propagation, of
    smooth operations as well.

    Example:
        >>> RuleSet(unpool="centre").name
        'deconvnet, unpool=centre'
    """

    forward_mask: bool = False
    backward_rectify: bool = True
    unpool: Literal["switches", "centre", "average"] = "switches"
    overlap: Literal["sum", "max"] = "sum"
    lrn: Literal["identity", "divisor", "gradient"] = "identity"
    gates: Literal["constant", "product"] = "constant"
    smooth: Smooth = "refuse"
    detach: Literal["identity", "zero"] = "identity"

    def __post_init__(self) -> None:
        for option in fields(self):
            allowed = get_args(option.type) or (True, False)
            value = getattr(self, option.name)
            if not isinstance(value, str | bool) or value not in allowed:
                raise ArgumentError(f"{option.name} is one of {allowed}; got {short(value)}.")

    @property
    def differentiates(self) -> bool:
        """Whether rectifiers and maxima go down by their derivatives."""
        return (self.forward_mask, self.backward_rectify, self.unpool) == (True, False, "switches")

    @property
    def name(self) -> str:
        """The nearest named set and what differs from it; never a bare name for something else."""
        differences = {
            name: [
                f"{option.name}={getattr(self, option.name)}"
                for option in fields(self)
                if getattr(self, option.name) != getattr(named, option.name)
            ]
            for name, named in RULE_SETS.items()
        }
        nearest = min(differences, key=lambda name: len(differences[name]))
        return ", ".join([nearest, *differences[nearest]])


RULE_SETS: Mapping[str, RuleSet] = {
    "deconvnet": RuleSet(),
    "guided": RuleSet(forward_mask=True),
    "gradient": RuleSet(
        forward_mask=True, backward_rectify=False, lrn="gradient", gates="product", smooth="gradient", detach="zero"
    ),
}


def smooth_by_name(rules: RuleSet, smooth: Smooth | None, before: Smooth = "refuse") -> Smooth:
    """How rule sets that are named later treat smooth operations: as was said with these, or as `before`.

    That `gradient` takes derivatives says nothing of the others.
    """
    return smooth or (before if rules == RULE_SETS["gradient"] else rules.smooth)


def rule_set(rules: str | RuleSet, smooth: Smooth | None = None) -> RuleSet:
    """A rule set by name or as it is, with another treatment of smooth operations if one is given.

    Raises:
        ArgumentError: no rule set of that name.
    """
    if isinstance(rules, str):
        if rules not in RULE_SETS:
            raise ArgumentError(f"no rule set is called {rules!r}: use one of {', '.join(RULE_SETS)}, or a RuleSet.")
        rules = RULE_SETS[rules]
    if not isinstance(rules, RuleSet):
        raise ArgumentError(f"rules is a name or a RuleSet; got {type(rules).__name__}.")
    return rules if smooth is None else replace(rules, smooth=smooth)


@dataclass(eq=False, slots=True)
class Call:
    """One run of a step, as a rule sees it.

    Attributes:
        step: what runs.
        rules: the rule set.
        images: batch size: of the images on the way up, of the signals on the way down.
        tensors: the weights by name; on the way up the step's inputs as well.
        memory: on the way down, what the rule's `up` remembered; first axis `images`.
        own: on the way down, whether nothing else holds the signal, so that the rule may write over it.
    """

    step: Step
    rules: RuleSet
    images: int
    tensors: Mapping[str, Tensor]
    memory: Memory = field(default_factory=dict)
    own: bool = False

    def __getitem__(self, argument: str) -> Any:
        """An argument of the operation, by the name in its schema; None if it has none such."""
        given = self.step.arguments.get(argument)
        if isinstance(given, Value):
            return self.tensors.get(given.name, given)
        return fill(given, self.images, self._tensor)

    def once(self, work: Callable[["Call", *Parts], T], *parts: *Parts) -> T:
        """What `work` gives for this call, worked out the first time for its step, number of images and `parts`.

        It must not depend on anything else, least of all on the tensors.
        """
        return once(self.step.cache, (work, self.images, *parts), lambda: work(self, *parts))

    def compute(self) -> Tensor:
        """What the step computes (on the way up)."""
        return self._computed(self._tensor)

    def compute_from(self, signals: Iterator[Tensor]) -> Tensor:
        """What the step computes from other signals, the rest as remembered."""

        def tensor(value: Value) -> Any:
            if value.signal:
                return next(signals)
            return self.memory[value.name] if value.varies else self._tensor(value)

        return self._computed(tensor)

    def sizes(self, signal: int = 0) -> tuple[int, ...]:
        """Shape of one of the inputs to which signals travel."""
        return once(self.step.cache, (signal, self.images), lambda: self.step.signals[signal].sizes(self.images))

    def _computed(self, tensor: Callable[[Value], Any]) -> Tensor:
        settings, slots = self.once(_settings_and_slots)
        filled = {name: fill(argument, self.images, tensor) for name, argument in slots.items()}
        result: Tensor = self.step.function(**settings, **filled)
        return result

    def _tensor(self, value: Value) -> Any:
        return self.tensors.get(value.name, value)


def _settings_and_slots(call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments that are the same in every call, and those that values fill."""
    arguments = call.step.arguments
    slots = {name: argument for name, argument in arguments.items() if any(True for _ in values_in(argument))}
    settings = {name: argument for name, argument in arguments.items() if name not in slots}
    return fill(settings, call.images, lambda value: value), slots


@dataclass(frozen=True)
class Rule:
    """How one step is undone.

    Attributes:
        words: the way down in a few words, for people; nothing is decided by them.
        down: (call, signal on the output) -> signal on the input; a tuple where there are several,
            None for one that gets nothing.
        up: call -> (output, what to remember); None when nothing need be remembered.
        of_image: what the way down takes from the image; None where it is the same for every image. "factors" are other
            values of a linear step that were computed from it, "memory" is what a user's own rule remembers.
        blocked: indices of the signal inputs that get nothing.
        smooth: what became of an operation that is not piecewise linear, where the rule set admits it.
        unchanged: each input gets the signal as it is, or its part of it.
        fresh: what it gives is held by nothing else: it is made anew, or is a signal that was the call's own.
        scales: calls -> what each multiplies the maps of its signal by, where nothing else happens on the way down.
        folds: it filters by its step's weight, whose first axis runs over the maps above, so that what these are
            multiplied by may be folded into the weight.
        unpools: each value goes back to where the remembered "switches" say, as `ops.unpool`, and nothing else happens.
        rectifies: the signal is rectified, and nothing else happens but what `masks` says.
        masks: the signal is multiplied with the remembered "mask", and nothing else happens but what `rectifies` says.
        noted: what a reader of the picture should know: a signal "stopped" where the network detaches a value, or
            "limited" pixels were not rectified.
        custom: it is a user's own, so that nobody knows what it depends on.
    """

    words: str
    down: Callable[[Call, Tensor], Tensor | tuple[Tensor | None, ...]]
    up: Callable[[Call], tuple[Tensor, Memory]] | None = None
    of_image: OfImage | None = None
    blocked: frozenset[int] = frozenset()
    smooth: Literal["rectified", "differentiated"] | None = None
    unchanged: bool = False
    fresh: bool = False
    scales: Callable[[Sequence[Call]], Sequence[Tensor]] | None = None
    folds: bool = False
    unpools: bool = False
    rectifies: bool = False
    masks: bool = False
    noted: Literal["stopped", "limited"] | None = None
    custom: bool = False

    def open_signals(self, step: Step) -> tuple[Value, ...]:
        """The inputs of a step to which this rule carries a signal."""
        return tuple(value for i, value in enumerate(step.signals) if i not in self.blocked)


Choose = Callable[[Step, RuleSet], Rule]
