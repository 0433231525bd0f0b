"""Rectifiers in every spelling."""

from collections.abc import Callable, Sequence
from typing import Any

from support.networks.parts import RELU6S, RELUS, Spelled
from support.networks.zoo import Wired, network
from torch import Tensor, nn

# one alone where a test asks for it by name; the rest five to a network, to save captures
SPELLED: list[tuple[str, ...]] = [("module",), ("F.relu",), ("x.relu()",), ("in-place module",)]
_rest = [spelling for spelling in RELUS if (spelling,) not in SPELLED]
SPELLED += [tuple(_rest[i : i + 5]) for i in range(0, len(_rest), 5)]
_sixes = list(RELU6S)


def _spelled(name: str, relus: Callable[[Any], list[Any]], gain: float = 1.0, **facts: Any) -> None:
    @network(name, (2, 12, 12), "first", "pool", "second", "third", **facts)
    def _(p: Any) -> nn.Module:
        def wiring(m: Any, x: Tensor) -> Tensor:
            x = m.pool(m.a(m.first(gain * x)))
            x = m.d(m.third(m.c(m.b(m.second(x)) - 0.1)))
            return m.head(m.e(m.last(x)).flatten(1))

        a, b, c, d, e = relus(p)
        return Wired(
            wiring,
            first=nn.Conv2d(2, 4, 3),
            a=a,
            pool=p.max_pool(2, 3, 2),
            second=nn.Conv2d(4, 4, 2),
            b=b,
            c=c,
            third=nn.Conv2d(4, 4, 1),
            d=d,
            last=nn.Conv2d(4, 4, 2),
            e=e,
            head=nn.Linear(16, 3),
        )


def _five(group: Sequence[str], part: str) -> Callable[[Any], list[Any]]:
    spellings = (tuple(group) * 5)[:5]
    return lambda p: [getattr(p, part)(spelling) for spelling in spellings]


for _group in SPELLED:
    _spelled(f"relu as {', '.join(_group)}", _five(_group, "relu"), repeats=True)
for _group in (_sixes[:3], _sixes[3:]):
    _spelled(f"relu6 as {', '.join(_group)}", _five(_group, "relu6"), 9.0)


@network("every second spelling is a module with a name", (2, 12, 12), "a", "b", "c", "d")
def _(p: Any) -> nn.Module:
    def named(spelling: str) -> nn.Module:
        part = p.relu(spelling)
        return part if isinstance(part, nn.Module) else Spelled(part)

    def wiring(m: Any, x: Tensor) -> Tensor:
        x = m.b(m.one(m.a(m.zero(x))))
        return m.second(m.d(m.first(m.c(x))))

    return Wired(
        wiring,
        zero=nn.Conv2d(2, 4, 3),
        a=named("F.relu"),
        one=nn.Conv2d(4, 4, 3),
        b=named("where(x > 0, x, 0)"),
        c=p.max_pool(2, 2),
        first=nn.Conv2d(4, 4, 2),
        d=named("x * (x > 0)"),
        second=nn.Conv2d(4, 2, 1),
    )


@network("in-place relu changes what the skip adds", (2, 10, 10), "first", "second", "third")
def _(p: Any) -> nn.Module:
    def wiring(m: Any, x: Tensor) -> Tensor:
        h = m.first(x)
        y = m.second(m.relu(h))
        return m.third(m.pool(y + h))

    return Wired(
        wiring,
        first=nn.Conv2d(2, 4, 3),
        relu=p.relu("in-place module"),
        second=nn.Conv2d(4, 4, 3, padding=1),
        pool=p.max_pool(2, 2),
        third=nn.Conv2d(4, 3, 2),
    )
