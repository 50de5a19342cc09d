"""Tests for pipelines.config.loading: files, assignments and flags, and what is refused."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.config import load_settings, show_settings
from pipelines.errors import ConfigError

REQUIRED = ["classifier=c", "data.images=i", "data.boxes=b"]


def test_defaults_are_the_release() -> None:
    """Without a word from the user the numbers are those of the official release."""
    settings = load_settings(None, REQUIRED)

    assert settings.head.method == "ae-wtn"
    assert settings.head.alpha == 20
    assert (settings.optimizer.learning_rate, settings.optimizer.transfer_weight_decay) == (
        0.01,
        0.1,
    )
    assert settings.schedule.steps == (120_000, 160_000)
    assert math.isclose(settings.schedule.transfer_gamma, 0.31622776601683794)
    assert (settings.data.sampler, settings.data.group_by_aspect_ratio) == ("class-balanced", True)


def test_flags_win_over_assignments_over_the_file(tmp_path: Path) -> None:
    """Precedence is flag, --set, file, default."""
    file = tmp_path / "settings.toml"
    file.write_text("seed = 1\n[schedule]\niterations = 1\nbatch_size = 1\nlog_every = 1\n")

    settings = load_settings(
        file,
        [*REQUIRED, "schedule.iterations=2", "schedule.batch_size=2"],
        {"schedule.batch_size": 3, "seed": None},
    )

    schedule = settings.schedule
    assert (settings.seed, schedule.log_every, schedule.iterations, schedule.batch_size) == (
        1,
        1,
        2,
        3,
    )


def test_written_settings_read_back_equal(tmp_path: Path) -> None:
    """The settings.toml of a run is itself a settings file."""
    settings = load_settings(None, [*REQUIRED, "schedule.steps=[5, 7]", "head.hidden=64"])
    file = tmp_path / "settings.toml"
    file.write_text(settings.as_toml())

    assert load_settings(file) == settings


@pytest.mark.parametrize(
    ("given", "images"),
    [("a.zip", ("a.zip",)), ('["a.zip", "b"]', ("a.zip", "b")), ("[]", ())],
)
def test_images_are_one_source_or_several(given: str, images: tuple[str, ...]) -> None:
    """A path alone is a list of one."""
    settings = load_settings(None, ["classifier=c", "data.boxes=b", f"data.images={given}"])

    assert settings.data.images == tuple(map(Path, images))


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "schedule.iteration=5",
            r"unknown setting 'schedule.iteration'\nDid you mean 'iterations'",
        ),
        ("hed.method=wtn", r"unknown setting 'hed'\nDid you mean 'head'"),
        (
            "data.min_size=128",
            r"'data.min_size'\nDid you mean 'detector.min_size'\? Valid keys here",
        ),
        ("images=a", r"Did you mean 'data.images' or 'evaluation.images'\?"),
        ("head.method=wtm", r"bad value for head.method: .*'ae-wtn-cosine' \(given: 'wtm'\)"),
        ("schedule.steps=[3, 1]", "steps must rise"),
        ("schedule.iterations=0", "greater than 0"),
        ("detector.anchor_sizes=[8]", "needs five numbers"),
        ("head.negative_slope=0", "passes no gradient"),
        ("head.zsd.mode=softmax", r"bad value for head.zsd.mode: .*'sigmoid'"),
        ("head.groups=7", r"head.groups \(7\) must divide the hidden width \(2048"),
        ("data.sampler=unifrom", r"bad value for data.sampler: .*'uniform'"),
        ("data.repeat_threshold=0", "greater than 0"),
        ("seed", "expected KEY=VALUE"),
        ("seed.x.y=1", "unknown setting|bad value"),
    ],
)
def test_a_bad_setting_is_refused(assignment: str, message: str) -> None:
    """The key, what is wrong with it and a way out are named."""
    with pytest.raises(ConfigError, match=message):
        load_settings(None, [*REQUIRED, assignment])


def test_a_setting_that_the_method_ignores_is_refused() -> None:
    """The setting is named with the methods that use it."""
    message = "bad value for head: alpha changes nothing in wtn, only in ae-wtn, ae-wtn-cosine;"
    with pytest.raises(ConfigError, match=message):
        load_settings(None, [*REQUIRED, "head.alpha=5"], {"head.method": "wtn"})


def test_a_margin_without_its_loss_is_refused(tmp_path: Path) -> None:
    """Where the user gives it for the method that has it; a file may be written for all methods."""
    file = tmp_path / "settings.toml"
    file.write_text("[head.zsd]\nmargin = 2.0\n")
    zsd = [*REQUIRED, "head.method=zsd"]

    assert load_settings(file, [*REQUIRED, "head.method=wtn"]).head.zsd.margin == 2
    assert load_settings(file, [*zsd, "head.zsd.mode=margin"]).head.zsd.margin == 2
    assert load_settings(None, [*zsd, "head.zsd.margin=1"]).head.zsd.margin == 1
    for given, show in ((file, load_settings), (None, load_settings), (None, show_settings)):
        with pytest.raises(ConfigError, match="margin changes nothing where") as raised:
            show(given, zsd if given else [*zsd, "head.zsd.margin=2"])
        assert raised.value.where == (str(file) if given else None)


@pytest.mark.parametrize("show", [load_settings, show_settings])
def test_a_setting_in_the_place_of_a_group_is_named(
    tmp_path: Path, show: Callable[[Path | None, list[str]], object]
) -> None:
    """With the file that holds it; nothing that the user did not give is told of."""
    file = tmp_path / "settings.toml"
    file.write_text("data = 3\n")

    with pytest.raises(ConfigError, match=r"bad value for data: .*\(given: 3\)") as raised:
        show(file, ["classifier=c"])
    assert raised.value.where == str(file)

    with pytest.raises(ConfigError, match="bad value for data: ") as raised:
        show(None, ["classifier=c", "data=3"])
    assert raised.value.where is None


def test_shown_settings_hold_any_character(tmp_path: Path) -> None:
    """Some end a line for Python and not in TOML."""
    odd = "a\x85b\u2028c"
    file = tmp_path / "settings.toml"

    file.write_text(show_settings(None, ["data.boxes=b"], {"classifier": odd}))

    assert load_settings(file).classifier == Path(odd)


def test_shown_settings_are_all_settings(tmp_path: Path) -> None:
    """What is unset is a comment in its table; a name that says so is still a name."""
    given = [*REQUIRED, "evaluation.every=5", "evaluation.boxes=e"]
    text = show_settings(None, given, {"checkpoints.keep_best": "unset"})
    file = tmp_path / "settings.toml"
    file.write_text(text)

    checkpoints, limits = (text.partition(f"[{name}]\n")[2] for name in ("checkpoints", "limits"))
    assert checkpoints.startswith('keep_last = 2\nkeep_best = "unset"\n')
    assert limits.startswith("# max_hours = unset\nskip_nonfinite = 0")
    assert "\n# weights = unset\n" in text.partition("[backbone]")[2].partition("[detector]")[0]
    assert load_settings(file).checkpoints.keep_best == "unset"


def test_a_missing_setting_says_how_to_give_it() -> None:
    """The key is named with the flag syntax that sets it."""
    with pytest.raises(ConfigError, match=r"'classifier' is missing\n.*--set classifier="):
        load_settings(None, REQUIRED[1:])


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    """A syntax error names file and place."""
    file = tmp_path / "settings.toml"
    file.write_text("[schedule\n")

    with pytest.raises(ConfigError, match=r"cannot be parsed.*line 1") as caught:
        load_settings(file)

    assert caught.value.where == str(file)
