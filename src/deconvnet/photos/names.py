"""What photos are called: unique, readable, and no more of their paths than that takes."""

from collections.abc import Iterable
from itertools import takewhile


def short_names(parts: list[list[str]], depth: int | None = None) -> list[str]:
    """Names of paths: what lies below the folder that holds all of them, or below the first `depth` folders.

    Args:
        parts: of each path its folders from the root, and its own name.
        depth: folders that are left out.
    """
    if depth is None and parts:
        depth = _shared(part[:-1] for part in parts)
        if depth < 2:  # nothing in common: the names would be absolute paths
            return _names_of_places(parts)
    return ["/".join(part[depth:]) for part in parts]


def _shared(folders: Iterable[list[str]]) -> int:
    """How many folders, from the root, all of these have in common."""
    listed = list(folders)
    pairs = zip(min(listed), max(listed), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _names_of_places(parts: list[list[str]]) -> list[str]:
    """Names of paths from different parts of the disk: each below the folder that holds all of its part.

    A part is what lies below one folder of the root, or one drive or host. Where two of them give the same name, more
    of their folders are kept.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, part in enumerate(parts):
        root = 3 if part[0].endswith(":") else 2
        groups.setdefault(tuple(part[:-1][:root]), []).append(i)
    depths = {group: _shared(parts[i][:-1] for i in indices) for group, indices in groups.items()}
    while alike := _alike(parts, groups, depths):
        depths.update({group: depths[group] - 1 for group in alike})
    depth_of = {i: depths[group] for group, indices in groups.items() for i in indices}
    return ["/".join(part[depth_of[i] :]) for i, part in enumerate(parts)]


def _alike(
    parts: list[list[str]], groups: dict[tuple[str, ...], list[int]], depths: dict[tuple[str, ...], int]
) -> set[tuple[str, ...]]:
    """The groups that share a name with another one, and have folders left that may distinguish them."""
    named: dict[str, set[tuple[str, ...]]] = {}
    for group, indices in groups.items():
        for i in indices:
            named.setdefault("/".join(parts[i][depths[group] :]), set()).add(group)
    return {group for of_name in named.values() if len(of_name) > 1 for group in of_name if depths[group] > 1}


def unique_names(names: Iterable[str]) -> list[str]:
    """The second photo of a name has #2 behind it, and so on."""
    names = list(names)
    taken, times, unique = set(names), dict.fromkeys(names, 0), []
    for name in names:
        times[name] += 1
        new = name
        while times[name] > 1 and (new := f"{name}#{times[name]}") in taken:
            times[name] += 1
        taken.add(new)
        unique.append(new)
    return unique
