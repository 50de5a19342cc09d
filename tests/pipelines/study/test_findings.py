"""Tests for pipelines.study.findings, on rows that were written and not trained.

Classes a to e of the classifier; c and a have boxes. d = R = 4.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.errors import RunError
from pipelines.models.checkpoints import class_row_source
from pipelines.models.heads import build_head
from pipelines.models.state_names import CLASS_HEAD
from pipelines.provenance import parent, provenance_of
from pipelines.study import findings
from pipelines.study.findings import Findings, find
from pipelines.study.outputs import write_outputs
from pipelines.study.plots import Curve
from pipelines.study.records import (
    TRAINING_REVISION,
    FailedRow,
    RowResult,
    TrainingRecord,
    write_json,
)
from pipelines.study.runs import RESULT, TRAINING, Row
from pipelines.study.scope import scope_of
from pipelines.study.shapes import ShapesSource
from pipelines.study.studies import STUDIES
from pipelines.study.tables import Metric
from pipelines.study.variants import Variant, choose_variants
from pipelines.study.worlds import METRICS, World
from pipelines.training.run_folder import METRICS as LOG
from pipelines.training.run_folder import TIMINGS
from pipelines.vocabulary import Vocabulary

WIDTH = 4
CLASSIFIER, DETECTION = (
    Vocabulary(tuple("abcde"), tuple("ABCDE")),
    Vocabulary(("c", "a"), ("C", "A")),
)
ROWS = ClassifierWeights(torch.eye(5, WIDTH) + 1, None, CLASSIFIER, "rows:x")
TRAINER, EVALUATOR = {"cpu": "trainer"}, {"cpu": "evaluator"}
PNG = b"\x89PNG"


def world_in(folder: Path) -> World:
    """Write the files of a world, and return it."""
    classifier, boxes = folder / "classifier.safetensors", folder / "boxes.csv"
    if not boxes.exists():
        ROWS.save(classifier)
        boxes.write_text("boxes")
    schedule = {"iterations": 40, "batch_size": 2, "warmup_iterations": 4, "steps": (20, 36)}
    settings = {
        "classifier": classifier,
        "data": {"images": folder, "boxes": boxes},
        "detector": {"roi_width": WIDTH},
        "head": {"groups": 2},
        "schedule": schedule,
    }
    return World(settings, evaluations={})


def trained(variant: Variant, folder: Path, seed: int, norm: float = 1.0) -> Row:
    """Write what a training leaves behind: every class has hidden activations of one length."""
    row = Row(variant, world_in(folder), folder / f"seed-{seed}", seed)
    settings = row.settings()
    head = build_head(settings.head, class_row_source(ROWS.weight, CLASSIFIER, DETECTION), WIDTH)
    state = head.state_dict() | _constant(norm)
    model = {f"{CLASS_HEAD}{name}": state[name] for name in head.state_dict()}
    made_from = provenance_of(parent("boxes", folder / "boxes.csv"))
    config = settings.model_dump(mode="json", exclude_none=True)
    iterations = settings.schedule.iterations
    row.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    DetectorCheckpoint(model, ROWS, DETECTION, config, iterations, made_from).save(row.checkpoint)
    record = {"iteration": iterations, "losses": {"loss_classifier": 0.5}}
    (row.checkpoint.parent / LOG).write_text(json.dumps(record))
    timing = {"iteration": iterations, "seconds": 8}
    (row.checkpoint.parent / TIMINGS).write_text(json.dumps(timing))
    write_json(row.checkpoint.parent / TRAINING, asdict(TrainingRecord(TRAINING_REVISION, TRAINER)))
    return row


def _constant(norm: float) -> dict[str, Tensor]:
    """Return a normalisation that gives each class a single active channel."""
    bias = torch.tensor([norm] + [0.0] * (WIDTH - 1))
    return {"transfer.encoder.1.weight": torch.zeros(WIDTH), "transfer.encoder.1.bias": bias}


def measured(variant: Variant, folder: Path, seed: int, percent: float) -> Row:
    """Write a training and its result, each metric a percent above the one before."""
    row = trained(variant, folder, seed)
    metrics = {name: percent + place for place, name in enumerate(METRICS)}
    result = RowResult(variant.name, seed, metrics, 0.5, 8.0, row.conditions(), EVALUATOR)
    (row.folder / variant.name).mkdir(exist_ok=True)
    write_json(row.folder / variant.name / RESULT, asdict(result))
    return row


def norms_in(folder: Path) -> list[list[Row]]:
    """Return the rows of Table 3 with two seeds, of norms 1 and 3."""
    return [[trained(v, folder, s, 1 + 2 * s) for s in (0, 1)] for v in STUDIES["table3"].variants]


def found_and_drawn(study: str, groups: Sequence[Sequence[Row]], folder: Path) -> Findings:
    """Find, and draw the picture."""
    found = find(STUDIES[study], groups)
    found.draw(folder / "picture.png", heading="A study")
    assert (folder / "picture.png").read_bytes().startswith(PNG)
    return found


def test_norms_of_a_study_come_to_table_details_and_picture(tmp_path: Path) -> None:
    """Seeds of norms 1 and 3 have a mean of 2 and no variance over classes."""
    found = found_and_drawn("table3", norms_in(tmp_path), tmp_path)

    assert [row.name for row in found.table.rows] == ["wtn+", "wtn+-batch-norm"]
    for row in found.table.rows:
        figures = [row.values[name] for name in ("mean_seen", "mean_novel", "variance_novel")]
        assert figures == [(1, 3), (1, 3), (0, 0)]
    assert found.table.rows[1].in_paper("mean_novel") == 2.627
    details = found.details["wtn+-batch-norm"]
    assert details["changes"] == {"head.method": "wtn+", "head.norm": "batch"}
    assert [seed["mean_seen"] for seed in details["seeds"]] == [1, 3]
    assert details["seeds"][1]["seed"] == 1
    assert details["seeds"][1]["seconds"] == 8
    assert details["seeds"][1]["machine"] == TRAINER
    assert found.failed == ()


def lengths_in(folder: Path) -> list[list[Row]]:
    """Return rows of two methods and lengths with two seeds, the longer ones first."""
    names = ["ae-wtn-x0.25", "ae-wtn", "faster-rcnn-nn-x0.5", "faster-rcnn-nn-x2"]
    chosen = choose_variants(STUDIES["length"].variants, names)
    rows = [[measured(v, folder, s, 40 * v.length + 2 * s) for s in (0, 1)] for v in chosen]
    return rows[::-1]


def test_lengths_of_a_study_come_to_table_and_details(tmp_path: Path) -> None:
    """Seeds stand in their order, each with the machine that trained and that evaluated it."""
    found = found_and_drawn("length", lengths_in(tmp_path), tmp_path)

    assert found.table.rows[0].title == "AE-WTN"
    assert found.table.rows[0].values == {
        "seen_AP50": (40, 42),
        "novel_AP50": (41, 43),
        "novel_AR50": (42, 44),
        "loss_classifier": (0.5, 0.5),
    }
    assert found.details["ae-wtn-x0.25"] == {
        "changes": {"head.method": "ae-wtn", "length": 0.25},
        "seeds": [
            {
                "seed": seed,
                "seconds": 8,
                "machine": TRAINER,
                "metrics": {name: 10 + 2 * seed + i for i, name in enumerate(METRICS)},
                "loss_classifier": 0.5,
                "evaluated_on": EVALUATOR,
            }
            for seed in (0, 1)
        ],
    }


def test_each_method_has_a_curve_over_its_iterations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its points ascend, whatever the order of the rows; recall has no panel."""
    drawn: list[tuple[Sequence[Curve], Sequence[Metric]]] = []
    monkeypatch.setattr(findings, "draw_curves", lambda c, m, path, heading: drawn.append((c, m)))

    find(STUDIES["length"], lengths_in(tmp_path)).draw(tmp_path / "picture.png", heading="A study")

    ((curves, metrics),) = drawn
    assert [metric.name for metric in metrics] == ["seen_AP50", "novel_AP50"]
    assert [curve.title for curve in curves] == ["AE-WTN", "Faster R-CNN (NN)"]
    assert [curve.positions for curve in curves] == [(10, 40), (20, 80)]
    assert curves[1].values["novel_AP50"] == ((21, 23), (81, 83))


def test_seconds_are_not_told_of_another_machine(tmp_path: Path) -> None:
    """If it is not known what trained a row, that is left open, wherever it was evaluated."""
    row = measured(STUDIES["table1"].variants[0], tmp_path, 0, 50)
    (row.checkpoint.parent / TRAINING).write_text(json.dumps({"revision": TRAINING_REVISION}))

    seed = find(STUDIES["table1"], [[row]]).details["faster-rcnn-nn"]["seeds"][0]

    assert (seed["machine"], seed["evaluated_on"]) == ({}, EVALUATOR)


@pytest.mark.parametrize("study", ["table3", "fig4"])
def test_a_row_whose_log_is_lost_has_its_figures(study: str, tmp_path: Path) -> None:
    """They come from the checkpoint; only the time is not known."""
    groups = [[trained(v, tmp_path, s) for s in (0, 1)] for v in STUDIES[study].variants[:2]]
    (groups[1][1].checkpoint.parent / TIMINGS).unlink()

    found = found_and_drawn(study, groups, tmp_path)

    seeds = found.details[groups[1][1].variant.name]["seeds"]
    assert not found.failed
    assert [seed["seed"] for seed in seeds] == [0, 1]
    assert [math.isnan(seed["seconds"]) for seed in seeds] == [False, True]


def test_a_row_that_fails_with_all_seeds_has_no_line(tmp_path: Path) -> None:
    """Here its checkpoints are broken."""
    groups = norms_in(tmp_path)
    for row in groups[0]:
        row.checkpoint.write_bytes(b"broken")

    found = found_and_drawn("table3", groups, tmp_path)

    assert [row.name for row in found.table.rows] == ["wtn+-batch-norm"]
    assert [(row.row, row.seed) for row in found.failed] == [("wtn+", 0), ("wtn+", 1)]
    assert str(groups[0][0].checkpoint) in found.failed[0].error


def test_a_result_that_is_stale_by_now_is_a_failure(tmp_path: Path) -> None:
    """The files of a row may change while others train; the same command measures it again."""
    first, second = (measured(v, tmp_path, 0, 50) for v in STUDIES["table2"].variants[:2])
    (second.folder / second.variant.name / RESULT).unlink()

    found = find(STUDIES["table2"], [[first], [second]])

    assert [row.name for row in found.table.rows] == [first.variant.name]
    assert "its files have changed" in found.failed[0].error


def test_if_no_row_is_left_there_is_no_finding(tmp_path: Path) -> None:
    """The error tells the first reason."""
    groups = norms_in(tmp_path)
    for row in (row for group in groups for row in group):
        row.checkpoint.write_bytes(b"broken")

    with pytest.raises(RunError, match=r"all 4 rows failed; wtn\+ with seed 0: .*checkpoint"):
        find(STUDIES["table3"], groups)


def test_a_row_whose_figures_are_lost_is_in_the_report(tmp_path: Path) -> None:
    """Among those that failed before, so the command tells of both."""
    found = replace(find(STUDIES["table3"], norms_in(tmp_path)), failed=(FailedRow("a", 1, "x"),))
    scope = scope_of("table3", ShapesSource(), tmp_path, [0, 1], [])

    report = write_outputs(scope, found, (FailedRow("b", 0, "y"),), {"command": ""})

    assert {row.row for row in report.failed} == {"a", "b"}
    assert "Failed: a with seed 1: x" in report.markdown()
