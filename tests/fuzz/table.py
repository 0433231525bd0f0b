"""The kinds of tries. A new one is a row here and a function (random, folder) -> word.

The function makes one try, all of it drawn from `random`, in an empty folder that is also the working folder. It
returns what came of it in one word, such as "read" or "refused". Whatever it raises is a fault that was found.
"""

from dataclasses import dataclass


class Fault(AssertionError):
    """Something that has to hold does not."""


@dataclass(frozen=True)
class Kind:
    """One kind of tries.

    Attributes:
        name: for the command line.
        function: "module:function" in this package. If the module has a `prepare`, it runs once before the first try.
        seconds: a try that takes longer hangs.
        megabytes: a try that takes more fills the memory.
    """

    name: str
    function: str
    seconds: float = 20
    megabytes: int = 2000


@dataclass(frozen=True)
class Outcome:
    """What came of a try.

    Attributes:
        word: such as "read" or "refused"; "" for a fault.
        fault: in one line; "" if there is none.
        details: of the fault, such as a traceback.
    """

    word: str = ""
    fault: str = ""
    details: str = ""


KINDS = (
    Kind("photos", "photos:attempt", seconds=40, megabytes=3000),
    Kind("containers", "containers:attempt", seconds=10),
    Kind("working-files", "working_files:attempt", seconds=30),
    Kind("arguments", "arguments:attempt", seconds=15),
    Kind("commands", "commands:attempt", seconds=90),
    Kind("kills", "kills:attempt", seconds=60),
    Kind("networks", "networks:attempt", seconds=30),
)
