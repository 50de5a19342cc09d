"""How similar classes look to a classifier, from its probabilities over images.

Shapes: C classifier classes, J classes that had images.

LSDA's visual transfer (Tang et al., CVPR 2016) weighs by it what a class without boxes borrows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.artifacts import ClassifierWeights
from pipelines.class_similarity import ClassSimilarity
from pipelines.classifiers.feature_space import refuse_other_features
from pipelines.classifiers.sources import read_source
from pipelines.config import BackboneSettings
from pipelines.data.images import open_images
from pipelines.data.labelled_images import ClassImages, read_class_images
from pipelines.devices import resolve_device
from pipelines.errors import ConfigError, DatasetError
from pipelines.models.classification import (
    Activation,
    LabelledImages,
    classification_network,
    mean_probabilities,
    prepare_image,
)
from pipelines.provenance import Provenance, parent, provenance_of
from pipelines.storage import refuse_to_replace, refuse_unwritable
from pipelines.training.crops import Crops, normalise

CROPS_A_PASS = 256

Progress = Callable[[int, int], None]  # images done, and in all


@dataclass(frozen=True)
class SimilarityReport:
    """What was measured.

    Args:
        output: The file.
        classes: J.
        classifier_classes: C.
        images: Number of images; one may show several classes.
        missing: Images with a label that were not at hand.
        fewest: Images of the class with the fewest.
        recognised: Share of the J classes that the classifier finds likelier than any other over
            their own images: low if the network or its input is not as in its training.
    """

    output: Path
    classes: int
    classifier_classes: int
    images: int
    missing: int
    fewest: int
    recognised: float


def measure_similarity(
    classifier: Path,
    backbone: BackboneSettings,
    images: Sequence[Path],
    image_labels: Path,
    output: Path,
    *,
    activation: Activation = "softmax",
    max_images: int | None = None,
    image_size: int = 224,
    device: str = "auto",
    batch_size: int = 32,
    on_progress: Progress = lambda done, total: None,
) -> SimilarityReport:
    """Run a classifier over images that show its classes, and average its probabilities.

    Args:
        classifier: Its final layer, made by ``wtn extract-weights``.
        backbone: Its network, with the weights and the normalisation of its images.
        images: Folders or archives; images without a label are left out.
        image_labels: Open Images CSV of verified image-level labels.
        output: The file of similarities.
        activation: What the classifier was trained with.
        max_images: Of a class, at most.
        image_size: Side of the network's input in pixels.
        device: ``auto``, ``cpu``, ``cuda``, ...
        batch_size: Images a pass.
        on_progress: Called with the number of images done and in all.

    Raises:
        WTNError: For inputs that are bad or do not belong together.
    """
    refuse_to_replace(output, [classifier, image_labels, *images])
    refuse_unwritable([output])
    loaded = _load(classifier, backbone)
    store = open_images(*images)
    chosen = read_class_images(image_labels, loaded.rows.vocabulary, store, max_images)
    target = resolve_device(device)
    loaded.network.to(target)
    prepared = (prepare_image(store.read(i), image_size, backbone) for i in chosen.image_ids)
    batches = _batches(_watched(prepared, len(chosen.image_ids), on_progress), chosen, batch_size)
    on_device = (batch._replace(images=batch.images.to(target)) for batch in batches)
    similarity = _measure(
        loaded,
        on_device,
        chosen.rows,
        activation,
        parent("image-labels", image_labels),
        image_size=image_size,
        images=[str(path) for path in images],
    )
    similarity.save(output)
    return _report(output, similarity, len(chosen.image_ids), chosen.missing)


def measure_crop_similarity(
    classifier: Path,
    backbone: BackboneSettings,
    crops: Path,
    output: Path,
    *,
    device: str = "cpu",
) -> SimilarityReport:
    """Do the same with crops of one class each, whose labels count the classifier's rows.

    Args:
        classifier: The final layer, trained with softmax.
        backbone: Its network; the crops are normalised as in its training.
        crops: A file that :meth:`Crops.load` reads.
        output: The file of similarities.
        device: ``auto``, ``cpu``, ``cuda``, ...

    Raises:
        WTNError: For inputs that are bad or do not belong together.
    """
    refuse_to_replace(output, [classifier, crops])
    loaded, target = _load(classifier, backbone), resolve_device(device)
    loaded.network.to(target)
    data = Crops.load(crops)
    present, label = torch.unique(data.labels, return_inverse=True)
    if int(present[0]) < 0 or int(present[-1]) >= len(loaded.rows.vocabulary):
        raise DatasetError(
            f"labels run from {int(present[0])} to {int(present[-1])}",
            where=crops,
            mend=f"The classifier has {len(loaded.rows.vocabulary)} rows, counted from 0.",
        )
    batches = (
        LabelledImages(normalise(data.images[at].to(target)), torch.arange(len(at)), label[at])
        for at in torch.split(torch.arange(len(data)), CROPS_A_PASS)
    )
    similarity = _measure(loaded, batches, present.tolist(), "softmax", parent("crops", crops))
    similarity.save(output)
    return _report(output, similarity, len(data), missing=0)


class _Loaded(NamedTuple):
    """A classifier that runs.

    Args:
        rows: Its artifact.
        network: In evaluation mode.
        parents: Their files.
        backbone: The network's settings that decide its output.
    """

    rows: ClassifierWeights
    network: nn.Module
    parents: tuple[Provenance, ...]
    backbone: Mapping[str, object]


def _load(classifier: Path, backbone: BackboneSettings) -> _Loaded:
    if backbone.weights is None:
        raise ConfigError(
            "the network has no weights",
            mend="Give the file that the classifier was extracted from: --backbone-weights FILE.",
        )
    rows, source = ClassifierWeights.load(classifier), read_source(backbone.weights)
    refuse_other_features(classifier, rows.feature_space, source.tensors, backbone.weights)
    network = classification_network(backbone, source.tensors, rows)
    parents = (
        parent("classifier", classifier, rows.provenance),
        *(parent("backbone", path) for path in source.files),
    )
    shown = {"name", "image_mean", "image_std"}
    return _Loaded(rows, network, parents, backbone.model_dump(mode="json", include=shown))


def _measure(
    loaded: _Loaded,
    batches: Iterable[LabelledImages],
    rows: Sequence[int],
    activation: Activation,
    *parents: Provenance,
    **facts: object,
) -> ClassSimilarity:
    """Average over the batches, whose labels are positions in ``rows`` of the classifier."""
    means, images = mean_probabilities(loaded.network, batches, len(rows), activation)
    provenance = provenance_of(
        *loaded.parents, *parents, activation=activation, backbone=loaded.backbone, **facts
    )
    classifier = loaded.rows.vocabulary
    return ClassSimilarity(means, images, classifier.subset(rows), classifier, provenance)


def _batches(
    prepared: Iterable[Tensor], chosen: ClassImages, batch_size: int
) -> Iterator[LabelledImages]:
    """Stack the images in their order, each batch with its labels."""
    remaining, start = iter(prepared), 0
    image, label = torch.from_numpy(chosen.image), torch.from_numpy(chosen.label)
    while images := list(islice(remaining, batch_size)):
        first, last = np.searchsorted(chosen.image, [start, start + len(images)])
        yield LabelledImages(torch.stack(images), image[first:last] - start, label[first:last])
        start += len(images)


def _watched(images: Iterable[Tensor], total: int, on_progress: Progress) -> Iterator[Tensor]:
    for done, image in enumerate(images):
        on_progress(done, total)
        yield image
    on_progress(total, total)


def _report(
    output: Path, similarity: ClassSimilarity, images: int, missing: int
) -> SimilarityReport:
    own = torch.tensor(similarity.classifier.rows(similarity.vocabulary.ids))
    recognised = similarity.similarity.argmax(dim=1) == own
    return SimilarityReport(
        output=output,
        classes=len(similarity.vocabulary),
        classifier_classes=len(similarity.classifier),
        images=images,
        missing=missing,
        fewest=int(similarity.images.min()),
        recognised=recognised.float().mean().item(),
    )
