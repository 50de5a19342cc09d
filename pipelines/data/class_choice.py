"""Which classes a command works on: a group by name, or a file of ids."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.data.class_files import read_subset
from pipelines.errors import ConfigError, MismatchError, did_you_mean
from pipelines.vocabulary import CLASS_GROUPS, Vocabulary

GROUPS = {
    "all": CLASS_GROUPS,
    "seen": ("seen",),
    "novel": ("novel",),
    "other": ("other",),
    "detection": ("seen", "other"),
}


def choose_rows(choice: str, vocabulary: Vocabulary, groups: Sequence[str]) -> list[int]:
    """Return the rows of the chosen classes.

    Args:
        choice: ``all``, ``seen``, ``novel``, ``other``, ``detection`` (seen and other), or the path
            of a class file, whose order is kept and whose ``Index`` column is ignored.
        vocabulary: The classes to choose from.
        groups: ``seen``, ``novel`` or ``other`` for each of them.

    Raises:
        ConfigError: If there is no such group or file, or no class in it.
        MismatchError: If the file names a class that is not in the vocabulary.
    """
    if choice in GROUPS:
        rows = [row for row, group in enumerate(groups) if group in GROUPS[choice]]
        if not rows:
            raise ConfigError(f"there is no {choice} class among the {len(vocabulary)}")
        return rows
    if not Path(choice).is_file():
        raise ConfigError(
            f"{choice!r} is neither a group of classes nor a file",
            mend=did_you_mean(choice, GROUPS) or f"Groups: {', '.join(GROUPS)}.",
        )
    try:
        return vocabulary.rows(read_subset(Path(choice)).ids)
    except MismatchError as error:
        raise MismatchError(error.what, where=choice, mend=error.mend) from error
