"""Where a classifier's tensors come from: a file, a TensorFlow checkpoint or torchvision.

Word vectors make one too, given the names of its classes.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipelines.classifiers import tensorflow, torchvision
from pipelines.classifiers.state_dict import BARE_MATRIX, read_class_ids, read_tensors
from pipelines.classifiers.word_vectors import NameLookup, embed_names, open_word_vectors
from pipelines.errors import ArtifactError, ConfigError
from pipelines.vocabulary import Vocabulary


@dataclass(frozen=True)
class ClassifierSource:
    """A classifier that was read.

    Args:
        tensors: All its tensors by name, without an optimizer's state.
        files: The files that they came from.
        categories: Its own class ids or names in row order; empty when it carries none.
        lookup: How the classes' names were found, in word vectors.
        named: The classes that were found, in row order, in word vectors.
    """

    tensors: dict[str, Tensor]
    files: tuple[Path, ...]
    categories: tuple[str, ...] = ()
    lookup: NameLookup | None = None
    named: Vocabulary | None = None


def read_source(source: str) -> ClassifierSource:
    """Read a classifier.

    Args:
        source: A file (see :func:`read_tensors`), the prefix, folder or SavedModel of a TensorFlow
            V2 checkpoint, or ``torchvision:NAME[@WEIGHTS]``.

    Raises:
        ArtifactError: If it is missing, unreadable or of an unknown kind.
        ConfigError: If torchvision publishes no such classifier.
    """
    if source.startswith(torchvision.SCHEME):
        published = torchvision.read_published(source)
        return ClassifierSource(published.tensors, (published.path,), published.categories)
    path = Path(source)
    prefix = tensorflow.checkpoint_prefix(path)
    if prefix is not None:
        files = tuple(tensorflow.checkpoint_files(prefix))
        return ClassifierSource(tensorflow.read_checkpoint(prefix), files)
    if path.is_dir():
        raise ArtifactError(
            "a folder, not a file, and not one with exactly one TensorFlow checkpoint (*.index)",
            where=path,
            mend="Pass the checkpoint's prefix, the path without .index.",
        )
    if tensorflow.is_v1_checkpoint(path):
        raise ArtifactError(
            "a TensorFlow V1 checkpoint (one file) is not supported",
            where=path,
            mend="Save it again as V2 with TensorFlow: "
            "tf.compat.v1.train.Saver(write_version=tf.compat.v1.train.SaverDef.V2).",
        )
    return ClassifierSource(read_tensors(path), (path,), read_class_ids(path))


def read_named_source(source: str, classes: Vocabulary | None) -> ClassifierSource:
    """Read a classifier, or make one of word vectors.

    Args:
        source: As for :func:`read_source`; or word vectors, see :func:`open_word_vectors`.
        classes: The class list, when there is one; word vectors need it.

    Raises:
        ArtifactError: As :func:`read_source` and :func:`open_word_vectors` do.
        ConfigError: As :func:`read_source` does, or if word vectors come without a class list.
        MismatchError: If no class has a word vector.
    """
    path = Path(source)
    vectors = open_word_vectors(path)
    if vectors is None:
        return read_source(source)
    if classes is None:
        raise ConfigError(
            "word vectors need a class list, whose names are looked up",
            where=path,
            mend="Give it with --classes: a CSV of ids and names.",
        )
    rows, named, lookup = embed_names(vectors, classes, path)
    tensors = {BARE_MATRIX: torch.from_numpy(rows)}
    return ClassifierSource(tensors, (path,), lookup=lookup, named=named)
