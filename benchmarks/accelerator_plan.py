"""The rows of `accelerator.py`, in the order in which they are measured; without torch, which its child imports."""

from dataclasses import dataclass
from typing import Any

UNITS: dict[tuple[str, str], tuple[int, float]] = {
    ("VGG-16", "features.15"): (256, 40),
    ("VGG-16", "features.22"): (512, 18),
    ("VGG-16", "features.29"): (512, 4),
    ("ResNet-50", "layer2"): (512, 3),
    ("ResNet-50", "layer3"): (512, 2),
    ("SqueezeNet 1.1", "features.7"): (256, 5),
    ("SqueezeNet 1.1", "features.12"): (512, 2),
}  # how many units, and how many times faster than the ten lines they are to be
FEW, FEW_AIM = 32, 1.5
CLASSES = {"SqueezeNet 1.1": 0.25, "VGG-16": 0.92, "ResNet-50": 0.45, "GoogLeNet, batch norm": 0.27}  # at most
SCANS = {"SqueezeNet 1.1": ("features.4", "features.7"), "ResNet-50": ("layer1", "layer2", "layer3")}
LIMIT = 60.0  # seconds for each row, with the capture of its network where it is the first to need it
WORKERS, QUICK_WORKERS = (0, 8, 15), (0, 1)


@dataclass(frozen=True)
class Planned:
    """A row.

    Attributes:
        name: begins with that of its table.
        function: of `accelerator_rows`.
        arguments: of the function, behind the setting.
    """

    name: str
    function: str
    arguments: tuple[Any, ...] = ()

    @property
    def table(self) -> str:
        return self.name.partition(" | ")[0]


def plan(*, quick: bool = False) -> dict[str, Planned]:
    """All rows by name."""
    workers = QUICK_WORKERS if quick else WORKERS
    rows = [
        Planned("machine", "machine_row"),
        *(Planned(f"accuracy | {a} {b}", "accuracy_of_units", (a, b)) for a, b in UNITS),
        *(Planned(f"accuracy | {name} class", "accuracy_of_class", (name,)) for name in CLASSES),
        *(Planned(f"accuracy | {name} scan", "accuracy_of_scan", (name,)) for name in SCANS),
        Planned("accuracy | sparse coding", "accuracy_of_coding"),
        *(Planned(f"classes | {name}", "classes", (name, aim)) for name, aim in CLASSES.items()),
        *(
            Planned(f"units | {a} {b} | {number}", "units", (a, b, number, least))
            for (a, b), (count, aim) in UNITS.items()
            for number, least in ((count, aim), (FEW, FEW_AIM))
        ),
        Planned("coding | sparse coding", "coding"),
        *(Planned(f"learning | {boundary}", "learning", (boundary,)) for boundary in ("circular", "valid")),
        Planned("atlas | SqueezeNet 1.1", "atlas", ("SqueezeNet 1.1", workers[-1])),
        *(Planned(f"scan | {name} | {number}", "scans", (name, number)) for number in workers for name in SCANS),
    ]
    return {row.name: row for row in rows}
