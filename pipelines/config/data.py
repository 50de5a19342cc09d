"""Settings of the box dataset."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipelines.config.base import Fraction, Positive, Settings

BoxPolicy = Literal["error", "clip", "drop"]
Sampler = Literal["class-balanced", "uniform", "repeat-factor", "sequential"]
BadImages = Literal["error", "skip"]


def as_sequence(value: object) -> object:
    """Return one path as a list of one."""
    return [value] if isinstance(value, str | Path) else value


class DataSettings(Settings):
    """The box dataset."""

    boxes: Path
    """An index made by ``wtn prepare``, or an Open Images box CSV; coordinates are fractions of
    the image."""
    images: Annotated[tuple[Path, ...], BeforeValidator(as_sequence)] = ()
    """Folders, zip and tar files of images named ``<ImageID>.jpg`` (or .jpeg, .png, .webp), one or
    a list; without them those of the index."""
    classes: Path | None = None
    """Class list that sets the order of the D classes; without it that of the index, or the ids in
    ``boxes``, sorted."""
    hierarchy: Path | None = None
    """Open Images hierarchy JSON; without it that of the index, or no class stands above
    another."""
    hierarchy_mode: Literal["complete", "official"] = "complete"
    """``official`` reproduces the release's tables, which lack 25 ancestor pairs."""
    box_policy: BoxPolicy = "error"
    """What to do with a box that leaves the image, has no area, is a copy or is not finite."""
    sampler: Sampler = "class-balanced"
    """Which images a pass shows: ``class-balanced`` as the release, ``uniform`` each once,
    ``repeat-factor`` those of rare classes more often (LVIS), or ``sequential`` each once, in long
    runs as they lie in their archives, for storage that is slow to jump about in; files in
    folders gain nothing."""
    shuffle_buffer: Positive = 4096
    """Of sequential: images that are read before their turn, so that they mix; about half as many
    files wait in memory, in all workers together."""
    bad_images: BadImages = "error"
    """What to do with an image that does not decode: stop, or take the next one and count it."""
    repeat_threshold: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Of repeat-factor: fraction of the images below which a class is rare (LVIS: 0.001)."""
    group_by_aspect_ratio: bool = True
    """Keep wide and high images in batches of their own, so that less is padded (release: yes).
    Without an index that knows the sizes, that is done for at most 20,000 images."""
    horizontal_flip: Fraction = 0.5
    """Probability of mirroring a training image (release: 0.5)."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Processes that decode images."""

    @property
    def files(self) -> dict[str, Path]:
        """The files besides the images, by the role that records give them."""
        given = {"boxes": self.boxes, "classes": self.classes, "hierarchy": self.hierarchy}
        return {role: path for role, path in given.items() if path is not None}
