"""Where a classifier's tensors come from: a file, a TensorFlow checkpoint or torchvision."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipelines.classifiers import tensorflow, torchvision
from pipelines.classifiers.state_dict import read_tensors
from pipelines.errors import ArtifactError


@dataclass(frozen=True)
class ClassifierSource:
    """A classifier that was read.

    Args:
        tensors: All its tensors by name, without an optimizer's state.
        files: The files that they came from.
        categories: Its own class names in row order; empty when it carries none.
    """

    tensors: dict[str, Tensor]
    files: tuple[Path, ...]
    categories: tuple[str, ...] = ()


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
    return ClassifierSource(read_tensors(path), (path,))
