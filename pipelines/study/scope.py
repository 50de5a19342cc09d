"""What a study covers in a world, and where each part of it is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import ConfigError
from pipelines.study.runs import Row
from pipelines.study.studies import Study, find_study
from pipelines.study.variants import Variant, choose_variants
from pipelines.study.worlds import NOVEL_AR50, World, WorldSource


@dataclass(frozen=True)
class Scope:
    """The rows of a study that a world can serve.

    Args:
        study: What is asked.
        source: Of the world.
        output: Folder; each world has one of its own in it, and in that each seed.
        seeds: Of the trainings, and of a world that is drawn.
        variants: The rows.
        left_out: Why other rows that were asked for are not among them, by name.
    """

    study: Study
    source: WorldSource
    output: Path
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]
    left_out: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Of the world."""
        return self.output / self.source.name

    @property
    def unit(self) -> str:
        """What the figures of the study are in this world, in words."""
        world = self.source.world(self.world_folder(self.seeds[0]))
        return self.study.unit(world.evaluations[NOVEL_AR50].metric)

    @property
    def notes(self) -> list[str]:
        """What to know about the figures of some rows in this world."""
        notes = self.source.notes
        return [f"{v.title}: {notes[v.name]}." for v in self.variants if v.name in notes]

    def seed_folder(self, seed: int) -> Path:
        """Return where the rows of a seed are."""
        return self.folder / f"seed-{seed}"

    def world_folder(self, seed: int) -> Path:
        """Return where the world of a seed is, which may be that of all seeds."""
        return (self.seed_folder(seed) if self.source.seeded else self.folder) / "world"

    def rows(self, seed: int) -> list[Row]:
        """Return the rows of a seed, made or not."""
        world: World = self.source.world(self.world_folder(seed))
        folder = self.seed_folder(seed)
        return [Row(variant, world, folder, seed) for variant in self.variants]


def scope_of(
    name: str, source: WorldSource, output: Path, seeds: Sequence[int], methods: Sequence[str]
) -> Scope:
    """Choose the rows of a study.

    Args:
        name: Of the study.
        source: Of the world.
        output: Folder of all studies.
        seeds: Of the trainings.
        methods: Names of rows; all of the study if there are none.

    Raises:
        ConfigError: If the study or a row is unknown, or the world can serve no row.
    """
    study = find_study(name)
    asked = choose_variants(study.variants, methods)
    left_out = {
        variant.name: source.lacks[need]
        for variant in asked
        for need in variant.needs
        if need in source.lacks
    }
    kept = tuple(variant for variant in asked if variant.name not in left_out)
    if not kept:
        raise ConfigError(
            f"the world {source.name} serves none of these rows: "
            + "; ".join(f"{row}: {reason}" for row, reason in left_out.items()),
            mend="Give what they need, or choose other rows with --methods.",
        )
    return Scope(study, source, output, tuple(seeds), kept, left_out)


def by_training(rows: Sequence[Row]) -> list[tuple[Row, ...]]:
    """Group the rows of a seed by the training that they share."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.variant.training, []).append(row)
    return [tuple(group) for group in groups.values()]
