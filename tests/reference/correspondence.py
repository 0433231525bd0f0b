"""Table 1 of the paper, written as it is read: one pair and one feature at a time."""

from collections.abc import Sequence


def sign(value: float, rounding: float = 0.0) -> int:
    return 0 if abs(value) <= rounding else (1 if value > 0 else -1)


def mean_distance(
    before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], rounding: Sequence[float]
) -> float:
    """The mean over ordered pairs i != j of the share of features whose signs of change differ."""
    n, total, pairs = len(before), 0.0, 0
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            differing = 0
            for k in range(len(before[i])):
                mine = sign(before[i][k] - after[i][k], rounding[i])
                other = sign(before[j][k] - after[j][k], rounding[j])
                differing += mine != other
            total += differing / len(before[i])
            pairs += 1
    return total / pairs
