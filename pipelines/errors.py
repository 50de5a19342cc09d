"""What can go wrong, in the user's terms: what it is, where it is, and how to mend it."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class WTNError(Exception):
    """An error that the user can act on.

    Args:
        what: What is wrong, in one sentence.
        where: The file, and the row or key in it, when there is one.
        mend: What to do about it.
    """

    def __init__(
        self, what: str, *, where: str | Path | None = None, mend: str | None = None
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.mend = mend
        super().__init__("\n".join(filter(None, [self.place_and_cause, mend])))

    @property
    def place_and_cause(self) -> str:
        """The error without how to mend it."""
        return self.what if self.where is None else f"{self.where}: {self.what}"


class ConfigError(WTNError):
    """The settings contradict each other or name something that does not exist."""


class ArtifactError(WTNError):
    """An artifact or a checkpoint cannot be read, or is not what it claims to be."""


class DatasetError(WTNError):
    """An annotation, a class list or an image is bad or missing."""


class BadImageError(DatasetError):
    """An image that was read and does not decode; others may be fine."""


class MismatchError(WTNError):
    """Two inputs that are fine by themselves do not belong together."""


class RunError(WTNError):
    """The run itself failed, for example because a loss became NaN."""


class LostWorkerError(RunError):
    """A process that reads data was killed; what the run has done so far is whole."""


class Interrupted(WTNError):
    """The user stopped the run; what was done so far is saved."""


def unreadable(path: Path, error: OSError | UnicodeDecodeError) -> DatasetError:
    """Return the error for a file that cannot be read, or is not the UTF-8 text it should be."""
    if isinstance(error, UnicodeDecodeError):
        return DatasetError(
            f"not UTF-8 text (found byte 0x{error.object[error.start]:02x})",
            where=path,
            mend="Save the file as UTF-8; if it is compressed, unpack it first.",
        )
    missing = isinstance(error, FileNotFoundError)
    return DatasetError("no such file" if missing else str(error.strerror), where=path)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return ``"Did you mean 'x'?"`` for the known word nearest to ``word``, or None."""
    nearest = get_close_matches(word, list(known), n=1)
    return f"Did you mean {nearest[0]!r}?" if nearest else None
