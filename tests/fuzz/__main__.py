"""`python -m fuzz`: run the fuzzer; exit code 1 if it found anything."""

import argparse
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from fuzz import planted
from fuzz.table import KINDS, Kind, Outcome
from fuzz.watch import Schedule, run

BY_NAME = {kind.name: kind for kind in (*KINDS, *planted.KINDS)}


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    options = _options(arguments)
    kinds = [BY_NAME[name] for name in options.kind] or list(KINDS)
    kinds = [replace(kind, seconds=options.patience * kind.seconds) for kind in kinds]
    repeating = options.seed is not None
    first = options.seed if repeating else random.SystemRandom().randrange(10**9)
    tries = (options.tries or 1) if repeating else options.tries
    print(f"first seed: {first}", flush=True)

    def report(kind: Kind, seed: int, outcome: Outcome) -> None:
        print(f"{kind.name}: {outcome.fault}")
        print(f"    PYTHONPATH=tests {_python()} -m fuzz --kind {kind.name} --seed {seed}", flush=True)
        if repeating and tries == 1:
            print(outcome.details, flush=True)

    counts = run(Schedule(kinds, first, 60 * options.minutes, tries), options.jobs, report)
    _summary(counts)
    return 1 if any(words["fault"] for words in counts.values()) else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Random tries, each with a limit.")
    parser.add_argument("--kind", action="append", default=[], choices=BY_NAME, help="only this kind; repeat for more")
    parser.add_argument("--minutes", type=float, default=5, help="for all kinds together (default: 5)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--patience", type=float, default=1, help="times longer for a try, on a busy machine")
    parser.add_argument("--seed", type=int, help="repeat the try of this seed")
    parser.add_argument("--tries", type=int, help="tries of each kind, from the seed on, in place of minutes")
    return parser.parse_args(arguments)


def _python() -> str:
    """This interpreter, as it is called from here."""
    path = Path(sys.executable)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _summary(counts: dict[str, Counter[str]]) -> None:
    print(f"{'kind':<16}{'tries':>8}{'faults':>8}  outcomes")
    for name, words in sorted(counts.items()):
        others = ", ".join(f"{count} {word}" for word, count in words.most_common() if word != "fault")
        print(f"{name:<16}{words.total():>8}{words['fault']:>8}  {others}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
