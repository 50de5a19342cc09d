"""Find a classifier's final layer among its candidates, by name and shape."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.classifiers.candidates import Candidate, Shape, describe, find_candidates
from pipelines.errors import ArtifactError, MismatchError, did_you_mean

# Final layers in torchvision, timm, transformers, TF-slim and Keras.
_HEAD_NAMES = re.compile(
    r"classif|classifier|cls_classifier|fc|head|last_linear|linear|logits|mlp_head|output"
    r"|predictions|score",
    re.IGNORECASE,
)
_NOT_FINAL = re.compile(
    r"aux|dist|pre_logits|attn|attention|qkv|mlp|embed|downsample|projector"
    r"|(^|[./_])ema([./_]|$)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"[./](\d+|Conv2d_\w+_1x1)$")  # in a Sequential, or TF-slim's last convolution

_AVERAGE = "/ExponentialMovingAverage"  # TensorFlow's; evaluation takes it for the variable

_FITS_CLASSES, _HEAD_NAMED, _AVERAGED, _HAS_BIAS, _RULED_OUT = 5.0, 4.0, 2.0, 1.0, -6.0
_LATE = 0.5  # for the last tensor; little, because many formats sort tensors by name
_CLEAR_LEAD = 1.0


@dataclass(frozen=True)
class FinalLayer:
    """The chosen layer.

    Args:
        chosen: The layer.
        reason: Why this one.
        candidates: All candidates, likeliest first.
    """

    chosen: Candidate
    reason: str
    candidates: tuple[Candidate, ...]


def find_final_layer(
    shapes: Mapping[str, Shape],
    *,
    layer: str | None = None,
    num_classes: int | None = None,
    where: str | Path | None = None,
) -> FinalLayer:
    """Choose the final layer.

    Args:
        shapes: The shape of each floating-point tensor, in the source's order.
        layer: The layer's or its weight's name, when the user gave one.
        num_classes: The length of the class list, when there is one: a hint, not a condition.
        where: The source, for error messages.

    Raises:
        ArtifactError: If no tensor can be a final layer, or several are about equally likely.
        MismatchError: If ``layer`` is not such a layer.
    """
    ranked = _rank(list(find_candidates(shapes, num_classes)), num_classes)
    if layer is not None:
        return FinalLayer(_named(layer, ranked, shapes, where), "named by the user", ranked)
    if not ranked:
        found = ", ".join(f"{name} {list(shape)}" for name, shape in list(shapes.items())[:4])
        raise ArtifactError(
            "no floating-point tensor can be a final layer (a matrix or a 1x1 convolution); "
            f"found {found or 'none'}",
            where=where,
            mend="Rows come as [classes, features]; a single one has the shape [1, features].",
        )
    rivals = [c for c in ranked if ranked[0].score - c.score < _CLEAR_LEAD]
    if len(rivals) > 1:
        raise ArtifactError(
            f"{len(rivals)} layers could be the final one:\n{describe(rivals)}",
            where=where,
            mend=f"Name the right one, for example --layer {rivals[0].layer}",
        )
    alone = "the only candidate" if len(ranked) == 1 else "ahead of all others"
    return FinalLayer(ranked[0], ", ".join((alone, *ranked[0].reasons)), ranked)


def _rank(candidates: list[Candidate], num_classes: int | None) -> tuple[Candidate, ...]:
    """Return the candidates with their scores, likeliest first."""
    last = max(len(candidates) - 1, 1)
    scored = []
    for position, candidate in enumerate(candidates):
        found = list(_evidence(candidate, candidates, num_classes))
        score = sum(points for points, _ in found) + _LATE * position / last
        reasons = tuple(reason for _, reason in found)
        scored.append(replace(candidate, score=score, reasons=reasons))
    return tuple(sorted(scored, key=lambda c: -c.score))


def _evidence(
    candidate: Candidate, candidates: Iterable[Candidate], num_classes: int | None
) -> Iterator[tuple[float, str]]:
    """Yield points and what they are for."""
    if candidate.num_classes == num_classes:
        yield _FITS_CLASSES, "as many classes as the class list"
    if candidate.bias:
        yield _HAS_BIAS, "has a bias"
    layer = candidate.layer.removesuffix(_AVERAGE)
    if layer != candidate.layer:
        yield _AVERAGED, "the moving average, which the classifier is evaluated with"
    path = _PLACE.sub("", layer)
    parent, _, name = path.replace("/", ".").rpartition(".")
    if _HEAD_NAMES.fullmatch(name if parent else name.rstrip("0123456789")):
        yield _HEAD_NAMED, "named like a final layer"
        path = parent
    if _NOT_FINAL.search(path):
        yield _RULED_OUT, "named like an inner or auxiliary layer"
    successor = next((c for c in candidates if _feeds(candidate, c)), None)
    if successor:
        yield _RULED_OUT, f"followed by {successor.layer}"


def _feeds(first: Candidate, second: Candidate) -> bool:
    """Tell whether two layers are numbered parts of one sequence and fit together in that order."""
    layers = [c.layer.removesuffix(_AVERAGE) for c in (first, second)]
    stems = [layer.rstrip("0123456789") for layer in layers]
    indices = [layer[len(stems[0]) :] for layer in layers]
    return (
        stems[0] == stems[1]
        and all(indices)
        and int(indices[0]) < int(indices[1])
        and first.num_classes == second.width
    )


def _named(
    layer: str,
    candidates: Sequence[Candidate],
    shapes: Mapping[str, Shape],
    where: str | Path | None,
) -> Candidate:
    for candidate in candidates:
        if layer in (candidate.layer, candidate.weight):
            return candidate
    likeliest = f"Likeliest are:\n{describe(candidates[:5])}"
    if any(re.match(rf"{re.escape(layer)}([./]|$)", name) for name in shapes):
        problem, mend = "is not a matrix or a 1x1 convolution", likeliest
    else:
        problem = "does not exist"
        mend = did_you_mean(layer, (c.layer for c in candidates)) or likeliest
    raise MismatchError(f"layer {layer!r} {problem}", where=where, mend=mend)
