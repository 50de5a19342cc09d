"""What a check comes to."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

_FOLDERS = re.compile(r"(?:/[^/\s'\"():,]+)+/")


@dataclass(frozen=True)
class Check:
    """A verdict on one thing that training needs.

    Args:
        name: Of the thing.
        verdict: ``ok``, ``warning`` if training runs but may be slow or stop, ``failed`` if not.
        finding: What was found.
        mend: What to do about it.
    """

    name: str
    verdict: Literal["ok", "warning", "failed"]
    finding: str
    mend: str | None = None


def judged(name: str, mend: str, work: Callable[[], str]) -> Check:
    """Return what ``work`` finds, or the error that it ends with, which counts as failed."""
    try:
        return Check(name, "ok", work())
    except Exception as error:  # whatever a broken installation raises
        first_line = f"{type(error).__name__}: {error}".partition("\n")[0]
        return Check(name, "failed", _FOLDERS.sub("", first_line), mend)
