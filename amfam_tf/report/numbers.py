"""Numbers as cells of a table: shares in percent, true minus, and a dash where a value is undefined."""

from collections.abc import Iterable
from typing import TypeGuard

UNDEFINED = "–"


def defined(value: float | None) -> TypeGuard[float]:
    """Returns whether there is a value: neither None nor NaN."""
    return value is not None and value == value


def share(value: float | None) -> str:
    """Returns a value of [0, 1] in percent with one decimal."""
    return f"{100 * value:.1f}" if defined(value) else UNDEFINED


def ends(bounds: Iterable[float | None] | None) -> str:
    """Returns an interval in percent, "low–high"."""
    shown = [UNDEFINED] if bounds is None else [share(end) for end in bounds]
    return UNDEFINED if UNDEFINED in shown else "–".join(shown)


def value_with_interval(value: float | None, bounds: Iterable[float | None] | None) -> str:
    """Returns "value (low–high)" in percent; the value alone where there is no interval."""
    interval = ends(bounds) if defined(value) else UNDEFINED
    return share(value) if interval == UNDEFINED else f"{share(value)} ({interval})"


def difference(value: float | None) -> str:
    """Returns a difference in points with its sign."""
    return f"{100 * value:+.1f}".replace("-", "−") if defined(value) else UNDEFINED


def difference_with_interval(value: float | None, bounds: Iterable[float | None]) -> str:
    """Returns "difference (low to high)" in points."""
    shown = [difference(end) for end in bounds]
    whole = defined(value) and UNDEFINED not in shown
    return f"{difference(value)} ({' to '.join(shown)})" if whole else difference(value)


def number(value: float | None) -> str:
    """Returns a value with two decimals."""
    return f"{value:.2f}" if defined(value) else UNDEFINED


def decimal(value: float | None) -> str:
    """Returns a value with three digits that count."""
    if defined(value):
        return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    return UNDEFINED


def count(value: int | None) -> str:
    """Returns a whole number with separators."""
    return UNDEFINED if value is None else f"{value:,}"


def p_value(p: float) -> str:
    """Returns a p-value with three decimals; one below that as "<0.001"."""
    if not defined(p):
        return UNDEFINED
    return "<0.001" if p < 0.001 else f"{p:.3f}"
