"""Tests for pipelines.study.variants: what each row of a study trains and borrows."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.config import TrainSettings
from pipelines.study.shapes import ShapesSource
from pipelines.study.studies import STUDIES
from pipelines.study.variant_settings import variant_settings
from pipelines.study.variants import Variant

# AE-WTN in the drawn world, R = 256; a row below names all in which it differs from this.
AE_WTN = {
    "method": "ae-wtn",
    "input_norm": True,
    "norm": "group",
    "hidden": 256,
    "negative_slope": 0.01,
    "zero_gamma": True,
    "initialization": "uniform",
    "dropout": 0,
    "activity": 0,
    "activity_reduction": "sumsq",
    "alpha": 20,
    "reconstruction": "smooth_l1",
    "reconstructed": "all",
    "reconstructed_count": None,
    "bias": "shared",
    "normalize_features": False,
    "weight_decay": 1e-4,
    "transfer_weight_decay": 0.1,
    "iterations": 1000,
    "classifier": "classifier",
    "trained_as": None,
    "neighbors": None,
    "similarity": False,
}
FASTER_RCNN, LSDA, ZSD = {"method": "faster-rcnn"}, {"method": "lsda"}, {"method": "zsd"}
WTN, WTN_PLUS = {"method": "wtn", "input_norm": False, "norm": "none"}, {"method": "wtn+"}
INPUT_NORM, GROUP_NORM = WTN | {"input_norm": True}, WTN | {"norm": "group"}
COSINE = {"method": "ae-wtn-cosine", "normalize_features": True}
WIDE, MIXED = {"classifier": "classifier-spread-28"}, {"neighbors": {"share": 0.3}}
FROM_ONE = {"zero_gamma": False}
Rows = dict[str, dict[str, Any]]


def lengths(name: str, row: dict[str, Any]) -> Rows:
    """Return a row at a quarter, half, twice and four times its length, and as it is."""
    of_length = {"-x0.25": 250, "-x0.5": 500, "": 1000, "-x2": 2000, "-x4": 4000}
    return {f"{name}{end}": row | {"iterations": n} for end, n in of_length.items()}


EXPECTED: dict[str, Rows] = {
    "table1": {
        "faster-rcnn-nn": FASTER_RCNN,
        "lsda": LSDA,
        "lsda-visual-weights": LSDA | {"trained_as": "lsda", "neighbors": {"weights": "softmax"}},
        "lsda-visual-images": LSDA | {"trained_as": "lsda", "similarity": True},
        "zsd": ZSD,
        "zsd-words": ZSD | {"classifier": "words"},
        "wtn": WTN,
        "wtn+": WTN_PLUS,
        "wtn+-weight-decay": WTN_PLUS | {"transfer_weight_decay": 0.5},
        "wtn+-activity": WTN_PLUS | {"activity": 0.01},
        "wtn+-dropout": WTN_PLUS | {"dropout": 0.3},
        "wtn+-half": WTN_PLUS | {"hidden": 128},
        "ae-wtn": {},
    },
    "table2": {
        "wtn": WTN,
        "wtn-input-norm": INPUT_NORM,
        "wtn-group-norm": GROUP_NORM,
        "wtn+": WTN_PLUS,
    },
    "table3": {"wtn+": WTN_PLUS, "wtn+-batch-norm": WTN_PLUS | {"norm": "batch"}},
    "fig4": {"wtn": WTN, "wtn+": WTN_PLUS, "ae-wtn": {}},
    "length": {
        **lengths("faster-rcnn-nn", FASTER_RCNN),
        **lengths("wtn+", WTN_PLUS),
        **lengths("ae-wtn", {}),
        **lengths("ae-wtn-cosine", COSINE),
    },
    "spread": {
        "wtn": WTN,
        "wtn-spread28": WTN | WIDE,
        "wtn-input-norm": INPUT_NORM,
        "wtn-input-norm-spread28": INPUT_NORM | WIDE,
        "wtn-group-norm": GROUP_NORM,
        "wtn-group-norm-spread28": GROUP_NORM | WIDE,
        "wtn+": WTN_PLUS,
        "wtn+-spread28": WTN_PLUS | WIDE,
        "ae-wtn": {},
        "ae-wtn-spread28": WIDE,
    },
    "start": {
        "wtn": WTN,
        "wtn-msra": WTN | {"initialization": "msra"},
        "wtn+": WTN_PLUS,
        "wtn+-gamma-one": WTN_PLUS | FROM_ONE,
        "ae-wtn": {},
        "ae-wtn-gamma-one": FROM_ONE,
    },
    "beyond": {
        "faster-rcnn-nn": FASTER_RCNN,
        "zsd": ZSD,
        "ae-wtn": {},
        "ae-wtn-normalized": {"normalize_features": True},
        "ae-wtn-cosine": COSINE,
        "ae-wtn-neighbors": {"trained_as": "ae-wtn"} | MIXED,
        "ae-wtn-cosine-neighbors": COSINE | {"trained_as": "ae-wtn-cosine"} | MIXED,
    },
    "switches": {
        "ae-wtn": {},
        "ae-wtn-alpha-0": {"alpha": 0},
        "ae-wtn-alpha-5": {"alpha": 5},
        "ae-wtn-alpha-100": {"alpha": 100},
        "ae-wtn-l2": {"reconstruction": "l2"},
        "ae-wtn-seen": {"reconstructed": "seen"},
        "ae-wtn-drawn-50": {"reconstructed_count": 50},
        "ae-wtn-drawn-256": {"reconstructed_count": 256},
        "ae-wtn-class-bias": {"bias": "per-class"},
        "ae-wtn-slope-0.1": {"negative_slope": 0.1},
        "ae-wtn-gamma-one": FROM_ONE,
    },
}


def facts(variant: Variant, settings: TrainSettings) -> dict[str, Any]:
    """Return what decides a row, by the keys of ``AE_WTN``; what is None is resolved."""
    head, optimizer, neighbors = settings.head, settings.optimizer, variant.neighbors
    return {key: getattr(head, key) for key in AE_WTN if key in type(head).model_fields} | {
        "input_norm": head.standardizes,
        "norm": head.hidden_norm,
        "hidden": head.hidden or settings.detector.roi_width,
        "normalize_features": settings.normalizes_features,
        "weight_decay": optimizer.weight_decay,
        "transfer_weight_decay": optimizer.transfer_weight_decay,
        "iterations": settings.schedule.iterations,
        "classifier": settings.classifier.stem,
        "trained_as": variant.trained_as,
        "neighbors": neighbors.model_dump(exclude_defaults=True) if neighbors else None,
        "similarity": variant.similarity,
    }


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_has_its_rows_in_order(study: str) -> None:
    """None is missing, and none is in two of its lines."""
    assert [variant.name for variant in STUDIES[study].variants] == list(EXPECTED[study])


@pytest.mark.parametrize(("study", "name"), [(s, name) for s in EXPECTED for name in EXPECTED[s]])
def test_a_row_is_what_it_is_called(study: str, name: str, tmp_path: Path) -> None:
    """Its resolved settings differ from AE-WTN's in what its title says, and in nothing else."""
    variant = next(v for v in STUDIES[study].variants if v.name == name)
    world = ShapesSource().world(tmp_path)

    settings = variant_settings(variant, world, tmp_path, 0, "cpu")

    assert facts(variant, settings) == AE_WTN | EXPECTED[study][name]
