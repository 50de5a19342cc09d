"""Which packages ``wtn`` needs or can use, and which are installed, from their metadata alone."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

DISTRIBUTION = "wtn-cli"

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)\s*(?:\[.*?\])?\s*(?:>=\s*(?P<minimum>[\w.]+))?"
    r"(?:.*extra\s*==\s*['\"](?P<extra>[\w-]+)['\"])?"
)
_NOT_SHOWN = ("all", "dev")  # extras that collect the others, and tools to change wtn


class Requirement(NamedTuple):
    """A package of the metadata.

    Args:
        name: To install it by.
        minimum: The oldest version that serves, or None.
        extra: The extra that it belongs to, or None for what is always needed.
    """

    name: str
    minimum: str | None
    extra: str | None

    @property
    def is_too_old(self) -> bool:
        """Whether an older version than the minimum is installed."""
        found = installed(self.name)
        return bool(found and self.minimum) and _numbers(str(found)) < _numbers(str(self.minimum))

    @property
    def wanted(self) -> str:
        """The package as pip takes it."""
        return f"{self.name}>={self.minimum}" if self.minimum else self.name


def requirements() -> list[Requirement]:
    """Return what wtn needs and what its extras bring; nothing if it is not installed."""
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:  # run from a source tree that was never installed
        return []
    return [found for found in _parsed(lines) if found.extra not in _NOT_SHOWN]


def installed(name: str) -> str | None:
    """Return the version of a package, or None if it is missing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def extras() -> dict[str, dict[str, str | None]]:
    """Return, for each extra, the versions of its packages; None for a missing one."""
    found: dict[str, dict[str, str | None]] = {}
    for requirement in requirements():
        if requirement.extra is not None:
            found.setdefault(requirement.extra, {})[requirement.name] = installed(requirement.name)
    return dict(sorted(found.items()))


def _parsed(lines: list[str]) -> Iterator[Requirement]:
    for line in lines:
        parts = _REQUIREMENT.match(line)
        if parts is not None:
            yield Requirement(parts["name"], parts["minimum"], parts["extra"])


def _numbers(text: str) -> tuple[int, ...]:
    """Return the release of a version as numbers: ``2.11.0+cpu`` as (2, 11, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:3])
