"""Two settings side by side: where they differ, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 3  # differences in one message


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by ``key.path``."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, Mapping)
        found |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def differences(
    there: Mapping[str, Any], now: Mapping[str, Any], first: str | None = None
) -> list[str]:
    """Return in words which values are not the same.

    Args:
        there: Settings by ``key.path``.
        now: Others.
        first: The key that comes first, since others follow from it.
    """
    return [
        f"{key} is {_text(there.get(key))} there, {_text(now.get(key))} now"
        for key in sorted({**there, **now}, key=lambda key: key != first)
        if there.get(key) != now.get(key)
    ]


def first_of(told: Sequence[str]) -> str:
    """Return the first differences, and how many more there are."""
    more = len(told) - _SHOWN
    return "; ".join([*told[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _text(value: object) -> str:
    return "unset" if value is None else str(value)
