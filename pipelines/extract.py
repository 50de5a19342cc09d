"""Extract a classifier's final layer into ``classifier.safetensors``.

Shapes: K classes, d features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from pipelines.artifacts import ClassifierWeights
from pipelines.classifiers.candidates import Candidate, layer_tensors
from pipelines.classifiers.checks import expect_count, expect_finite, expect_order
from pipelines.classifiers.feature_space import declared_feature_space, fingerprint
from pipelines.classifiers.final_layer import FinalLayer, find_final_layer
from pipelines.classifiers.sources import ClassifierSource, read_named_source
from pipelines.classifiers.word_vectors import NameLookup
from pipelines.data.class_files import read_class_lines, read_vocabulary
from pipelines.errors import ConfigError, MismatchError
from pipelines.provenance import Provenance, parent, provenance_of
from pipelines.storage import refuse_to_replace
from pipelines.vocabulary import Vocabulary

Missing = Literal["error", "skip"]

_SHOWN = 5  # classes in a message


@dataclass(frozen=True)
class RowNorms:
    """The Euclidean norms of the rows.

    Args:
        minimum: The least.
        median: The middle one.
        maximum: The greatest.
        spread: Greatest over least, or None when a row is zero. Kuen et al. (ICCV 2019) report 28
            for one large-scale classifier.
    """

    minimum: float
    median: float
    maximum: float
    spread: float | None


@dataclass(frozen=True)
class ExtractReport:
    """What was extracted.

    Args:
        output: The file written.
        source: The source as given.
        source_files: The SHA-256 of each file of the source, by name.
        layer: The layer's name.
        reason: Why this layer; what the rows are, when the source is word vectors.
        orientation: How the classes' axis was found.
        candidates: All layers that could be the final one, likeliest first; of word vectors none.
        num_classes: K.
        width: d.
        has_bias: Whether there is a bias ``[K]``.
        row_norms: Of the weight's K rows.
        classes: Where the class ids came from.
        feature_space: The fingerprint of the features that the rows act on: ``body:`` and a hash
            of the classifier's other tensors, or ``rows:`` and a hash of the matrix itself when
            there are none.
        lookup: How the names of the classes were found, when the source is word vectors.
    """

    output: Path
    source: str
    source_files: dict[str, str]
    layer: str
    reason: str
    orientation: str
    candidates: tuple[Candidate, ...]
    num_classes: int
    width: int
    has_bias: bool
    row_norms: RowNorms
    classes: str
    feature_space: str
    lookup: NameLookup | None


def extract_weights(
    source: str,
    output: Path,
    *,
    layer: str | None = None,
    classes: Path | None = None,
    class_names: Path | None = None,
    feature_space_of: Path | None = None,
    missing: Missing = "error",
) -> ExtractReport:
    """Write the final layer of a classifier, or word vectors, as :class:`ClassifierWeights`.

    Args:
        source: A state dict or a matrix in a file, a TensorFlow V2 checkpoint,
            ``torchvision:NAME[@WEIGHTS]``, or word vectors; see
            :func:`pipelines.classifiers.sources.read_named_source`.
        output: The file to write; nothing is written on an error.
        layer: The final layer's name, needed only where it is not plain from names and shapes.
        classes: The class list; see :func:`pipelines.data.class_files.read_vocabulary`. Word
            vectors are looked up by its names.
        class_names: Names for the ids in ``classes``.
        feature_space_of: A file written by this function whose features these rows act on too.
        missing: What becomes of classes whose names have no word vector: an error, or ``skip``.

    Raises:
        ArtifactError: If the source cannot be read, its final layer is not plain, or a weight is
            not finite.
        ConfigError: If torchvision has no such classifier, names come without classes, word
            vectors come without names, or ``missing`` has no effect.
        DatasetError: If a class list is bad.
        MismatchError: If the classes, the layer or the feature space do not fit the source.
    """
    listed = _read_classes(classes, class_names)
    read = read_named_source(source, listed)
    if missing == "skip" and read.lookup is None:
        raise ConfigError(
            "--missing skip is for word vectors, which these are not",
            where=source,
            mend="Leave it away: a matrix has a row for every class.",
        )
    if missing == "error" and read.lookup and listed and classes:
        _refuse_missing(read.lookup.without_vector, listed, classes)
    listed = read.named or listed
    refuse_to_replace(output, [*read.files, classes, class_names, feature_space_of])
    final = _find_layer(source, read, layer, listed)
    chosen = final.chosen
    weight, bias = layer_tensors(read.tensors, chosen)
    vocabulary = listed or _own_classes(read, chosen.num_classes)
    expect_count(vocabulary, chosen, classes or source)
    expect_order(vocabulary, read.categories, classes or source)
    for name, tensor in ((chosen.weight, weight), (chosen.bias, bias)):
        expect_finite(f"{source}:{name}", tensor, vocabulary)
    feature_space = _feature_space(feature_space_of, read, chosen, weight)
    others = {"classes": classes, "class-names": class_names, "feature-space": feature_space_of}
    provenance = _provenance(source, read, chosen, others)
    weights = ClassifierWeights(weight, bias, vocabulary, feature_space, provenance)
    weights.save(output)
    return _report(output, source, read, final, weights, _origin(classes, read))


def _read_classes(classes: Path | None, class_names: Path | None) -> Vocabulary | None:
    if classes is not None:
        return read_vocabulary(classes, class_names)
    if class_names is not None:
        raise ConfigError(
            "names were given without a class list",
            where=class_names,
            mend="Give the ids, in the order of the classifier's rows, as the class list.",
        )
    return None


def _refuse_missing(without: Sequence[str], listed: Vocabulary, classes: Path) -> None:
    """Raise MismatchError if there are classes ``without`` a word vector."""
    if without:
        shown = [f"{class_id} ({listed.name_of[class_id]})" for class_id in without[:_SHOWN]]
        raise MismatchError(
            f"{len(without)} of {len(listed)} classes have a name without any word vector: "
            f"{', '.join(shown)}{', ...' if len(without) > _SHOWN else ''}",
            where=f"{classes}:{read_class_lines(classes)[without[0]]}",
            mend="Name them with known words, here or with --class-names; take a fastText .bin, "
            "which has parts of words; or leave these classes out with --missing skip.",
        )


def _find_layer(
    source: str, read: ClassifierSource, layer: str | None, listed: Vocabulary | None
) -> FinalLayer:
    final = find_final_layer(
        {name: tuple(t.shape) for name, t in read.tensors.items() if t.is_floating_point()},
        layer=layer,
        num_classes=None if listed is None else len(listed),
        where=source,
    )
    if read.lookup is None:
        return final
    chosen = replace(final.chosen, orientation="one row for each name")
    return FinalLayer(chosen, "the mean word vector of each name, of length 1", ())


def _feature_space(
    declared: Path | None, read: ClassifierSource, layer: Candidate, weight: Tensor
) -> str:
    if declared is None:
        return fingerprint(read.tensors, layer, weight)
    return declared_feature_space(declared, layer.width)


def _own_classes(read: ClassifierSource, num_classes: int) -> Vocabulary:
    """Return the classes that the source carries, or numbered ones."""
    ids = read.categories or tuple(f"class-{row}" for row in range(num_classes))
    return Vocabulary(ids, ids)


def _origin(classes: Path | None, read: ClassifierSource) -> str:
    if classes is not None:
        return str(classes)
    return "the source's categories" if read.categories else "row numbers, for want of a class list"


def _provenance(
    source: str, read: ClassifierSource, layer: Candidate, others: Mapping[str, Path | None]
) -> Provenance:
    return provenance_of(
        *(parent("classifier", path) for path in read.files),
        *(parent(role, path) for role, path in others.items() if path is not None),
        source=source.rpartition("/")[2],
        layer=layer.layer,
    )


def _report(
    output: Path,
    source: str,
    read: ClassifierSource,
    final: FinalLayer,
    weights: ClassifierWeights,
    classes: str,
) -> ExtractReport:
    parents = weights.provenance["parents"][: len(read.files)]
    return ExtractReport(
        output=output,
        source=source,
        source_files={record["path"]: record["sha256"] for record in parents},
        layer=final.chosen.layer,
        reason=final.reason,
        orientation=final.chosen.orientation,
        candidates=final.candidates,
        num_classes=final.chosen.num_classes,
        width=final.chosen.width,
        has_bias=weights.bias is not None,
        row_norms=_row_norms(weights.weight),
        classes=classes,
        feature_space=weights.feature_space,
        lookup=read.lookup,
    )


def _row_norms(weight: Tensor) -> RowNorms:
    norms = torch.linalg.vector_norm(weight.double(), dim=1)
    minimum, median, maximum = (float(n) for n in (norms.min(), norms.median(), norms.max()))
    return RowNorms(minimum, median, maximum, maximum / minimum if minimum else None)
