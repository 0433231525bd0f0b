"""Every network of torchvision and of timm's families, and some of other packages: right, refused, or a fault.

    python benchmarks/coverage.py [--only WORDS] [--log coverage.jsonl] [--most 30] [--minutes 60]

Each network of torchvision and timm has random weights and statistics that fit them, the others their own weights. Of
two random images a unit of an early, a middle and a late layer and a class are carried down, under DeconvNet's rules,
under these with `smooth="gradient"`, and under the rule set `gradient`. They are compared with the network's own
autograd, in the first two cases with the paper's way down in its backward, which knows nothing of captured steps: in
float32 up to 1e-5, else in float64 up to 1e-8. A fault is a wrong signal, or an error that is not a `DeconvNetError`.

With `--log` each row is added to a file as it is known, and networks are left out whose rows were made with today's
table of operations. `--page` prints docs/coverage.md from the rows of that file, and measures nothing.
"""

import argparse
import gc
import hashlib
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from coverage_networks import names, network_of, parameters, weights_of
from coverage_page import page, verdict
from paper_way_down import PaperWayDown
from torch import Tensor, nn

from deconvnet import DeconvNet, DeconvNetError
from deconvnet._files import write_whole
from deconvnet.core.operations import Operation, operations
from deconvnet.network import attached as attached_to

WAYS = {"deconvnet": ("deconvnet", "refuse"), "smooth": ("deconvnet", "gradient"), "gradient": ("gradient", "gradient")}
WIDE = 1e-5  # above it a network that amplifies float32's last bits is looked at in float64
EXACT = 1e-8  # random weights amplify even float64's rounding a million times in some
AIDS = ("copies", "own_storage", "any_layout", "remembers", "filled")  # of a row: what capture and speed need it for
VERSIONS = ", ".join(f"{library} {version(library)}" for library in ("torch", "torchvision", "timm"))


def table_of_operations(table: Mapping[str, Operation] = operations.rows) -> str:
    """A hash of what PyTorch's operations are: their names, and the fields of their rows that decide what goes down."""

    def words(value: object) -> str:
        return f"{value.__module__}.{value.__qualname__}" if callable(value) else str(value)

    names = [field.name for field in fields(Operation) if field.name not in AIDS]
    rows = (
        " ".join([operation, *(f"{name}={words(getattr(row, name))}" for name in names)])
        for operation, row in sorted(table.items())
        if not operation.startswith("deconvnet.")  # which no network of others has
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


# what is carried down, and what it has to be ---------------------------------------------------------


class Looked:
    """A network, two images, and what is carried down from them: units of three layers, and a class of each image."""

    def __init__(self, model: nn.Module, x: Tensor, head: str) -> None:
        self.model, self.x, self.head = model, x, head
        output = model(x)
        named = "out" if isinstance(output, dict) else len(output) - 1 if isinstance(output, tuple) else None
        self.output = named
        self.net = DeconvNet(model, x, output=named, memory="16GB")  # on every machine
        outputs = self._outputs(x)
        self.classes = _chosen(outputs[head])
        self.units = {name: _strongest(outputs[name][0]) for name in self._layers(outputs)}

    def _outputs(self, x: Tensor) -> dict[str, Tensor]:
        """What the modules that run once return, by name, and under "" the network's own scores."""
        outputs: dict[str, list[Any]] = {}

        def keeper(name: str) -> Callable[..., Any]:
            def keep(module: nn.Module, given: Any, output: Any) -> Any:
                outputs.setdefault(name, []).append(output)
                return output + 0 if isinstance(output, Tensor) else None  # what comes next may work in place

            return keep

        hooks = [module.register_forward_hook(keeper(name)) for name, module in self.model.named_modules() if name]
        try:
            output = self.model(x)
        finally:
            for hook in hooks:
                hook.remove()
        once = {name: found[0] for name, found in outputs.items() if len(found) == 1 and isinstance(found[0], Tensor)}
        return once | {"": output if self.output is None else output[self.output]}

    def _layers(self, outputs: Mapping[str, Tensor]) -> list[str]:
        """An early, a middle and a late layer of those with maps of more than one position."""
        maps = [
            name
            for name, layer in self.net.layers.items()
            if name in outputs and outputs[name].shape == (len(self.x), layer.channels, *layer.size)
            if math.prod(layer.size) > 1
        ]
        return list(dict.fromkeys(maps[len(maps) * part // 6] for part in (1, 3, 5))) if maps else []

    def errors(self) -> dict[str, dict[str, float | str]]:
        """By way, and by what is carried down, how far it is off, or the sentence with which it was refused."""
        truths = {paper: self._truths(paper=paper) for paper in (True, False)}
        found: dict[str, dict[str, float | str]] = {}
        for way, (rules, smooth) in WAYS.items():
            net = self.net.with_rules(rules, smooth=smooth)
            found[way] = {}
            for name, truth in truths[rules == "deconvnet"].items():
                try:
                    off = error(self._picture(net, name), truth)
                except Exception as trouble:
                    found[way][name] = words(trouble)
                else:
                    if off is not None:
                        found[way][name] = off
        return found

    def _picture(self, net: DeconvNet, name: str) -> Tensor:
        if name == "class":
            targets = [target if target[1:] else target[0] for target in self.classes]
            return net.explain(self.x, targets, start="one").full()
        channel, *position = self.units[name]
        return net.project(self.x, name, channel=channel, position=tuple(position), start="one").full()

    def _truths(self, *, paper: bool) -> dict[str, Tensor]:
        """What autograd brings down to the input from each, with the paper's way down in its backward or its own."""
        leaf = self.x.clone().requires_grad_()
        with PaperWayDown() if paper else nullcontext():
            outputs = self._outputs(leaf + 0)
        totals = {name: outputs[name][(slice(None), *unit)].sum() for name, unit in self.units.items()}
        scores = outputs[self.head]
        totals["class"] = torch.stack([scores[(image, *target)] for image, target in enumerate(self.classes)]).sum()
        return {name: torch.autograd.grad(total, leaf, retain_graph=True)[0] for name, total in totals.items()}


def _chosen(scores: Tensor) -> list[tuple[int, ...]]:
    """One score of each image: of the most likely class, in maps of classes in the middle."""
    middle = tuple(length // 2 for length in scores.shape[2:])
    return [(int(image[(slice(None), *middle)].argmax()), *middle) for image in scores]


def _strongest(maps: Tensor) -> tuple[int, ...]:
    return tuple(int(index) for index in torch.unravel_index(maps.argmax(), maps.shape))


def error(ours: Tensor, truth: Tensor) -> float | None:
    """`max|a - b| / max|b|`; None where both are zero everywhere, which proves nothing."""
    assert ours.shape == truth.shape
    size = truth.abs().max().item()
    if size == 0:
        return None if not ours.any() else float("inf")
    return (ours - truth).abs().max().item() / size


# rows ------------------------------------------------------------------------------------------------


def row_of(name: str) -> dict[str, Any]:
    """What became of a network."""
    model, x, head = network_of(name)
    row: dict[str, Any] = {"name": name, "size": tuple(x.shape[1:]), "weights": weights_of(model)}
    row |= {"versions": VERSIONS, "table": table_of_operations()}
    began = time.perf_counter()
    try:
        looked = Looked(model, x, head)
    except Exception as trouble:
        return {**row, "capture": words(trouble)}
    row["seconds"] = round(time.perf_counter() - began, 2)
    row |= {"steps": len(attached_to(looked.net).captures.graph(x).steps), "limit": WIDE, **looked.errors()}
    offs = [off for way in WAYS for off in row[way].values() if isinstance(off, float)]
    if any(off > WIDE for off in offs):
        try:
            row |= {"limit": EXACT, **Looked(model.double(), x.double(), head).errors()}
        except Exception as trouble:
            return {**row, "capture": words(trouble)}
    return row


def words(trouble: Exception) -> str:
    """A sentence of ours, or what came instead of one."""
    kind = "refused" if isinstance(trouble, DeconvNetError) else f"FOREIGN {type(trouble).__name__}"
    return f"{kind}: {' '.join(str(trouble).split())}"


def line(row: dict[str, Any]) -> str:
    """A row for people: the verdicts, and what is behind those that are not right."""
    if "unusable" in row:
        return f"{row['name']:48} {row['unusable'][:200]}"
    verdicts = [verdict(row, way) for way in WAYS]
    said = [row["capture"]] if "capture" in row else [text for way in WAYS for text in map(str, row[way].values())]
    sentences = dict.fromkeys(text for text in said if text[0] in "rF")
    wrong = " ".join(f"{way} {row[way]}" for way, word in zip(WAYS, verdicts, strict=True) if word == "WRONG")
    size = "x".join(map(str, row["size"]))
    return (
        f"{row['name']:48} {size:14} {row.get('seconds', 0):6.1f}s {' '.join(f'{v:8}' for v in verdicts)} "
        f"{wrong}{'; '.join(sentences)[:300]}"
    )


def rows(wanted: list[str], until: float) -> Iterator[dict[str, Any]]:
    """The rows of networks, one after the other, until the time is over."""
    for name in wanted:
        if time.monotonic() > until:
            return
        try:
            yield row_of(name)
        except Exception as trouble:  # the network itself cannot be made or run
            yield {"name": name, "table": table_of_operations(), "unusable": f"{type(trouble).__name__}: {trouble}"}
        gc.collect()


def read(log: Path) -> dict[str, dict[str, Any]]:
    """The rows of a file by name; of several of one network the last."""
    lines = log.read_text().splitlines() if log.exists() else []
    return {row["name"]: row for row in map(json.loads, lines)}


def main() -> None:
    """Print the rows; exit code 1 if anything is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only networks with this in their name")
    parser.add_argument("--log", type=Path, help="file of rows as JSON, one a line, that is added to")
    parser.add_argument("--page", action="store_true", help="print the page of the file's rows")
    parser.add_argument("--most", type=float, default=float("inf"), help="only up to this many million weights")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no other network after that")
    options = parser.parse_args()
    done = read(options.log) if options.log else {}
    if options.page:
        print(page(list(done.values())), end="")
        return
    today = table_of_operations()
    sizes = {name: parameters(name) for name in names() if options.only in name}
    wanted = sorted((name for name in sizes if sizes[name] <= options.most * 1e6), key=lambda name: sizes[name])
    stale = [name for name in wanted if name not in done or done[name]["table"] != today]
    for row in rows(stale, time.monotonic() + 60 * options.minutes):
        done[row["name"]] = row
        print(line(row), flush=True)
        if options.log:
            content = "".join(json.dumps(done[name]) + "\n" for name in sorted(done)).encode()
            write_whole(options.log, lambda file, content=content: file.write(content))  # type: ignore[misc]
    counts = Counter(verdict(row, way) for row in done.values() if "unusable" not in row for way in WAYS)
    print(f"{len(done)} networks, each in three ways: {', '.join(f'{n} {word}' for word, n in counts.items())}")
    sys.exit(bool(counts["WRONG"] or counts["FOREIGN"]))


if __name__ == "__main__":
    main()
