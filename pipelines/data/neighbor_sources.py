"""What a user may say about whom a class without boxes borrows from."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from pipelines.config import NeighborSettings
from pipelines.data.neighbor_table import read_neighbors
from pipelines.errors import ConfigError
from pipelines.vocabulary import Vocabulary


class NeighborSources(NamedTuple):
    """Settings and files, each of which may be missing.

    Args:
        settings: How classifier rows are compared, and how many neighbours lend.
        table: Neighbours of some classes.
        table_classes: The class file that a table of the official release counts rows of.
        similarity: Made from images by ``wtn similarity``.
    """

    settings: NeighborSettings | None = None
    table: Path | None = None
    table_classes: Path | None = None
    similarity: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """Those that are given, by their role."""
        roles = {
            "neighbor-table": self.table,
            "neighbor-classes": self.table_classes,
            "similarity": self.similarity,
        }
        return {role: path for role, path in roles.items() if path is not None}

    def read_table(
        self, classifier: Vocabulary, seen: Collection[str]
    ) -> dict[str, tuple[str, ...]]:
        """Return the neighbours in the table, if there is one; see :func:`read_neighbors`."""
        if self.table is None:
            return {}
        return read_neighbors(self.table, self.table_classes, classifier, seen)

    def refuse_contradictions(self) -> None:
        """Raise ConfigError if one of them would have no effect beside the others."""
        if self.table and self.similarity:
            raise ConfigError(
                "both a table and a similarity say what a class borrows",
                mend="Give --neighbor-table or --similarity.",
            )
        if self.table_classes and not self.table:
            raise ConfigError(
                "classes are given for a table of neighbours, but no table",
                where=self.table_classes,
                mend="Add --neighbor-table FILE.",
            )
        if self.settings is not None and self.settings.weights != "softmax":
            self._refuse_idle(self.settings.model_fields_set)

    def _refuse_idle(self, given: Collection[str]) -> None:
        """Raise ConfigError for a setting that has an effect only with softmax weights."""
        if "temperature" in given:
            raise ConfigError(
                "a temperature is given, but no softmax",
                mend="Add --neighbor-weights softmax, or leave the temperature out.",
            )
        if self.similarity and set(given) - {"count", "share"}:
            raise ConfigError(
                "with a similarity made from images, classifier rows are not compared",
                mend="Leave out all but --neighbors and --neighbor-share; or let the rows serve "
                "the classes without images: --neighbor-weights softmax.",
            )
