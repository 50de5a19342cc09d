"""Which features a classifier's rows act on: rows over the same features can be exchanged.

Shapes: K classes, d features.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from pipelines.artifacts import ClassifierWeights
from pipelines.classifiers.candidates import Candidate, layer_tensors
from pipelines.classifiers.final_layer import find_final_layer
from pipelines.errors import MismatchError
from pipelines.provenance import tensors_sha256


def fingerprint(tensors: Mapping[str, Tensor], layer: Candidate, weight: Tensor) -> str:
    """Identify the features by the layers that compute them.

    Args:
        tensors: All tensors of the classifier.
        layer: Its final layer.
        weight: ``[K, d]``, that layer's weight; stands in for the features of a bare matrix.

    Returns:
        ``body:`` and the SHA-256 of all tensors but the final layer's, or ``rows:`` and that of
        the weight when there are no others.
    """
    body = {n: t for n, t in tensors.items() if n not in (layer.weight, layer.bias)}
    if body:
        return f"body:{tensors_sha256(body)}"
    return f"rows:{tensors_sha256({'weight': weight})}"


def declared_feature_space(path: Path, width: int) -> str:
    """Return the fingerprint of a classifier file whose features are declared to be the same.

    Args:
        path: The file, a :class:`ClassifierWeights`.
        width: d of the rows at hand.

    Raises:
        ArtifactError: If the file cannot be read.
        MismatchError: If its rows are not as wide.
    """
    other = ClassifierWeights.load(path)
    if other.weight.shape[1] != width:
        raise MismatchError(
            f"its rows act on {other.weight.shape[1]} features, these on {width}",
            where=path,
            mend="Rows share a feature space only if one network computes the features of both.",
        )
    return other.feature_space


def refuse_other_features(
    path: Path, feature_space: str, tensors: Mapping[str, Tensor], network: str
) -> None:
    """Refuse a classifier file whose rows act on the features of another network.

    Args:
        path: The file.
        feature_space: Its fingerprint; that of a bare matrix shows no network.
        tensors: All tensors of the network, its final layer included.
        network: Where they came from.

    Raises:
        MismatchError: If the fingerprints differ.
        ArtifactError: If the network has no final layer.
    """
    shapes = {n: tuple(t.shape) for n, t in tensors.items() if t.is_floating_point()}
    final = find_final_layer(shapes, where=network).chosen
    found = fingerprint(tensors, final, layer_tensors(tensors, final)[0])
    if feature_space.startswith("body:") and feature_space != found:
        raise MismatchError(
            f"its rows act on other features than those of {network} (fingerprint "
            f"{feature_space[:17]}, not {found[:17]})",
            where=path,
            mend="Give the network that the rows were extracted from.",
        )
