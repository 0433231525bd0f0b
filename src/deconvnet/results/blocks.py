"""Steps of a way down that branches, grouped by block: a block ends where all of the signal passes one layer."""

from collections.abc import Sequence

_MOST_SIZES = 2  # of the maps of a block that a reader can still think of as one; it halves them at most


def blocks(layers: Sequence[str], undone: Sequence[Sequence[str]], sizes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Indices of the steps of each block, in order; the last of a block is the layer that all of its signal comes to.

    A way down without branches has blocks of one step. What is too much for a block, such as a U-Net, whose first maps
    skip to its last, is divided where the signal comes to another module.

    Args:
        layers: where each step comes to, in the order of the way down.
        undone: for each, the layers whose undoing brings the signal there.
        sizes: of the maps of each.

    Example:
        >>> blocks(["c", "b.left", "b.right", "a"], [[], ["c"], ["c"], ["b.left", "b.right"]], [(8, 8)] * 4)
        [[0], [1, 2, 3]]
    """
    passed_by = bypassed(layers, undone)
    groups: list[list[int]] = [[]]
    for i in range(len(layers)):
        groups[-1].append(i)
        if i not in passed_by:
            groups.append([])
    return [part for group in groups if group for part in _divided(group, layers, sizes)]


def bypassed(layers: Sequence[str], undone: Sequence[Sequence[str]]) -> set[int]:
    """Indices of the steps that some of the signal leads around; the arguments are those of `blocks`."""
    index = {layer: i for i, layer in enumerate(layers)}
    return {
        between
        for below, names in enumerate(undone)
        for name in names
        if name in index
        for between in range(index[name] + 1, below)
    }


def name_of(layers: Sequence[str]) -> str:
    """The module that all of these layers lie in; "" where that is the whole network."""
    parts = [layer.replace("/", ".").split(".") for layer in layers]
    shared = 0
    while all(len(names) > shared for names in parts) and len({names[shared] for names in parts}) == 1:
        shared += 1
    return ".".join(parts[0][:shared]) if parts else ""


def _divided(group: list[int], layers: Sequence[str], sizes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """The group, or if it is too much for a block its parts, each of which ends with the first layer of a module."""
    if len({sizes[i] for i in group}) <= _MOST_SIZES:
        return [group]
    shared = name_of([layers[i] for i in group[:-1]])
    depth = shared.count(".") + 1 if shared else 0
    modules = [".".join(layers[i].split("/")[0].split(".")[: depth + 1]) for i in group]
    parts: list[list[int]] = [[]]
    for before, i, module in zip([None, *modules], group, modules, strict=False):
        parts[-1].append(i)
        if module != before:
            parts.append([])
    return [part for part in parts if part]
