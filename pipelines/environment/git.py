"""Which commit a file or folder is of, where it lies in a git repository."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_SECONDS = 10  # a repository on slow storage must not hold up a training
_WITHOUT_PROGRAMS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")


@dataclass(frozen=True)
class GitState:
    """What git says of a file, or of the files in a folder.

    Args:
        commit: Of the repository's HEAD.
        state: ``clean`` if it is as in that commit, ``changed`` if it is not, and ``untracked`` if
            git does not follow it, so that the commit tells nothing about it.
    """

    commit: str
    state: Literal["clean", "changed", "untracked"]


def git_state(path: Path) -> GitState | None:
    """Return the state of a file or folder, or None outside of a repository or without git."""
    place = path.absolute()  # a link is judged itself: what it points to may lie elsewhere
    commit = _git(place.parent, "rev-parse", "HEAD")
    if not commit:
        return None
    tracked = _git(place.parent, "ls-files", "--", place.name)
    changed = _git(place.parent, "status", "--porcelain", "-uno", "--", place.name)
    if tracked is None or changed is None:
        return None
    return GitState(commit, "changed" if changed else "clean" if tracked else "untracked")


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, or None if it fails.

    The repository is left as it is, and neither its hooks nor its file monitor run; the filters
    that its settings name may, where git has to compare contents.
    """
    command = ["git", "--no-optional-locks", "-C", str(folder), *_WITHOUT_PROGRAMS, *arguments]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip()
