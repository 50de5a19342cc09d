"""Tests for pipelines.training.same_training, on the three iterations that all tests share."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.config import validate_settings
from pipelines.distributed import Team
from pipelines.errors import ConfigError, MismatchError
from pipelines.training.checkpoints import Saved, newest_whole
from pipelines.training.same_training import (
    judges_otherwise,
    refuse_disagreement,
    refuse_other_inputs,
    refuse_other_settings,
)

Tree = dict[str, Any]


@pytest.fixture
def saved(artifacts: SimpleNamespace) -> Saved:
    """Return what the run goes on from."""
    found, _ = newest_whole(artifacts.run / "checkpoints")
    assert found is not None
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.update(device="cuda", classifier="elsewhere", limits={"max_hours": 1}),
        lambda tree: tree["data"].update(images=["a", "b"], workers=7, bad_images="skip"),
        lambda tree: tree.update(engine={"precision": "bfloat16"}, checkpoints={"keep_last": 5}),
        lambda tree: tree["schedule"].update(log_every=7, checkpoint_every=7),
        lambda tree: tree["schedule"].update(iterations=9, steps=[3, 5]),
        lambda tree: tree.update(evaluation={"every": 2, "boxes": "val.csv"}),
    ],
)
def test_what_is_not_learned_may_change(
    saved: Saved, settings_tree: Tree, change: Callable[[Tree], object]
) -> None:
    """Places, machine, speed, what is told and kept, and what lies ahead of the schedule."""
    change(settings_tree)

    refuse_other_settings(saved, validate_settings(settings_tree))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tree: tree.update(seed=1), "seed is 0 there, 1 now"),
        (lambda tree: tree["schedule"].update(batch_size=4), "schedule.batch_size is 2 there, 4"),
        (
            lambda tree: tree["schedule"].update(steps=[2, 5]),
            r"schedule.steps is \[\] there, \[2\]",
        ),
        (lambda tree: tree["schedule"].update(iterations=2), "schedule.iterations is 3 there, 2"),
        (lambda tree: tree["data"].update(horizontal_flip=0), "data.horizontal_flip is 0.5 there"),
        (lambda tree: tree["detector"].update(min_size=32), "detector.min_size is 64 there, 32"),
    ],
)
def test_other_settings_are_refused(
    saved: Saved, settings_tree: Tree, change: Callable[[Tree], object], told: str
) -> None:
    """The first differences are named."""
    change(settings_tree)

    with pytest.raises(ConfigError, match=f"the run has other settings: {told}"):
        refuse_other_settings(saved, validate_settings(settings_tree))


@pytest.mark.parametrize(
    ("change", "otherwise"),
    [
        ({"schedule": {"iterations": 9}}, False),
        ({"checkpoints": {"keep_last": 9}}, False),
        ({"evaluation": {"boxes": "val.csv"}}, True),
        ({"checkpoints": {"keep_best": "x"}, "evaluation": {"every": 1, "boxes": "b"}}, True),
    ],
)
def test_the_best_is_forgotten_where_another_figure_judges(
    saved: Saved, settings_tree: Tree, change: Tree, otherwise: bool
) -> None:
    """Figures on other boxes, or of another name, do not compare."""
    for key, value in change.items():
        settings_tree[key] = settings_tree.get(key, {}) | value

    assert judges_otherwise(saved, validate_settings(settings_tree)) == otherwise


def test_files_with_other_contents_are_refused(saved: Saved) -> None:
    """Also one that was not there; the role is named. Their places do not count."""
    before = saved.checkpoint.provenance
    parents = [{**parent, "path": "moved"} for parent in before["parents"]]
    refuse_other_inputs(saved, before | {"parents": parents})
    changed = [p | {"sha256": "0"} if p["role"] == "boxes" else p for p in parents]

    with pytest.raises(MismatchError, match="another file for boxes than"):
        refuse_other_inputs(saved, before | {"parents": changed})
    more = [*parents, {"role": "hierarchy", "sha256": "0"}]
    with pytest.raises(MismatchError, match="another file for hierarchy"):
        refuse_other_inputs(saved, before | {"parents": more})


def test_a_sequential_sampler_needs_images_that_lie_as_they_did(saved: Saved) -> None:
    """Or it would show some twice and others never."""
    saved.checkpoint.provenance["image_order"] = "0"
    provenance = saved.checkpoint.provenance
    refuse_other_inputs(saved, dict(provenance))

    with pytest.raises(MismatchError, match="the images lie otherwise in their archives"):
        refuse_other_inputs(saved, provenance | {"image_order": "1"})


@pytest.fixture
def disagree(settings_tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that compares the settings with those that a second process has."""

    def compare(change: Tree, files: tuple[str, str] = ("a", "a")) -> None:
        gathered: list[Any] = []

        def gather(team: Team, value: object) -> list[Any]:
            gathered.append(value)
            return gathered

        monkeypatch.setattr(Team, "gather_objects", gather)
        trees = (
            settings_tree,
            {
                key: value | change.get(key, {})
                if isinstance(value, dict)
                else change.get(key, value)
                for key, value in ({key: {} for key in change} | settings_tree).items()
            },
        )
        for rank, (tree, digest) in enumerate(zip(trees, files, strict=True)):
            parents = {"parents": [{"role": "boxes", "path": "b", "sha256": digest}]}
            refuse_disagreement(Team(rank, 2), validate_settings(tree), None, parents)

    return compare


@pytest.mark.parametrize(
    "change",
    [
        {"limits": {"max_hours": 1}},
        {"limits": {"skip_nonfinite": 1}},
        {"engine": {"accumulation": 2}},
        {"engine": {"precision": "bfloat16"}},
        {"evaluation": {"every": 2, "boxes": "b"}},
        {"schedule": {"log_every": 7}},
        {"schedule": {"checkpoint_every": 7}},
        {"data": {"bad_images": "skip"}},
        {"checkpoints": {"keep_last": 7}},
    ],
)
def test_processes_with_other_settings_are_refused(
    disagree: Callable[..., None], change: Tree
) -> None:
    """Each of these decides when the processes wait for each other; the setting is named."""
    ((section, values),) = change.items()

    with pytest.raises(
        MismatchError, match=f"process 1 has another {section}.{next(iter(values))}"
    ):
        disagree(change)


def test_processes_find_the_same_files_in_other_places(disagree: Callable[..., None]) -> None:
    """Paths and devices are those of a machine; contents must be the same."""
    disagree({"device": "cuda:1", "classifier": "/mnt/c", "data": {"boxes": "/mnt/b"}})

    with pytest.raises(MismatchError, match="process 1 has another file for boxes than process 0"):
        disagree({}, files=("a", "b"))


def test_images_of_other_shapes_are_refused(saved: Saved) -> None:
    """They make other steps; runs of earlier versions do not tell."""
    before = dict(saved.checkpoint.provenance)
    told = len(str(before["image_groups"]))
    refuse_other_inputs(saved, before)

    assert told == 64
    with pytest.raises(MismatchError, match="other shapes of images"):
        refuse_other_inputs(saved, before | {"image_groups": "0"})
    del saved.checkpoint.provenance["image_groups"]
    refuse_other_inputs(saved, before)
