"""Numbers as text, for captions and messages. No torch here."""


def percent(share: float) -> str:
    """A share of 1 as text, with two significant digits.

    Example:
        >>> [percent(share) for share in (0.996, 0.1, 0.0963, 0.0123, 0.000123, 0.0000012, 0.0)]
        ['100 %', '10 %', '9.6 %', '1.2 %', '0.012 %', 'under 0.001 %', '0 %']
    """
    if 0 < share < 1e-5:
        return "under 0.001 %"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def significant(value: float) -> str:
    """A value as text, with three significant digits; thousands as they are.

    Example:
        >>> [significant(value) for value in (407.2, 0.01234, 1352.0, -0.5, 1.5e9)]
        ['407', '0.0123', '1352', '-0.5', '1.5e+09']
    """
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
