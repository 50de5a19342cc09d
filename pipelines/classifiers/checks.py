"""Whether a layer and a class list belong together, and whether the layer is whole.

Shapes: K classes.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from pipelines.classifiers.candidates import Candidate
from pipelines.errors import ArtifactError, MismatchError
from pipelines.vocabulary import Vocabulary


def expect_count(vocabulary: Vocabulary, layer: Candidate, where: str | Path) -> None:
    """Raise MismatchError unless a layer has as many classes as are listed in ``where``."""
    if len(vocabulary) != layer.num_classes:
        raise MismatchError(
            f"{len(vocabulary)} classes are listed, but layer {layer.layer!r} has "
            f"{layer.num_classes}",
            where=where,
            mend="Give the class list that the classifier was trained with, or another --layer.",
        )


def expect_order(vocabulary: Vocabulary, own: Sequence[str], where: str | Path) -> None:
    """Raise MismatchError if the list in ``where`` has a source's own classes in another order."""
    if sorted(own) != sorted(vocabulary.ids):
        return  # they say nothing of each other: names here, ids there
    for row, (in_source, in_list) in enumerate(zip(own, vocabulary.ids, strict=True)):
        if in_source != in_list:
            raise MismatchError(
                f"row {row} is class {in_source!r} in the source and {in_list!r} in the list",
                where=where,
                mend="Put the list in the source's order.",
            )


def expect_finite(where: str, tensor: Tensor | None, vocabulary: Vocabulary) -> None:
    """Raise ArtifactError if a tensor ``[K, ...]`` has a number that is not finite."""
    if tensor is None or bool(tensor.isfinite().all()):
        return
    bad = (~tensor.reshape(len(tensor), -1).isfinite()).any(dim=1).nonzero().flatten()
    row = int(bad[0])
    raise ArtifactError(
        f"row {row} (class {vocabulary.ids[row]!r}, {vocabulary.names[row]}) holds a number that "
        f"is not finite; {len(bad)} of {len(tensor)} rows do",
        where=where,
        mend="Repair the source: one such row spoils every class, since the rows are standardised "
        "together.",
    )
