"""Tests for pipelines.config.training: the rule for other batch sizes."""

import pytest

from pipelines.config import TrainSettings, load_settings, show_settings, validate_settings


def settings_for(batch_size: int, **schedule: object) -> TrainSettings:
    """Return the default settings with a batch size."""
    return validate_settings(
        {
            "classifier": "classifier.safetensors",
            "data": {"boxes": "boxes.csv"},
            "schedule": {"batch_size": batch_size, **schedule},
        }
    )


def test_twice_the_batch_takes_half_the_steps_at_twice_the_rate() -> None:
    """SGD's rate follows the batch; as many images are seen; AdamW and the warm-up stay."""
    given = settings_for(16)
    scaled = given.scaled_to_batch()

    assert scaled.optimizer.learning_rate == pytest.approx(0.02)
    assert scaled.schedule.iterations == 90_000
    assert scaled.schedule.steps == (60_000, 80_000)
    assert scaled.optimizer.transfer_learning_rate == given.optimizer.transfer_learning_rate
    assert scaled.schedule.warmup_iterations == 500


def test_two_images_take_four_times_the_steps() -> None:
    """One GPU with two images sees what four saw."""
    scaled = settings_for(2).scaled_to_batch()

    assert scaled.optimizer.learning_rate == pytest.approx(0.0025)
    assert (scaled.schedule.iterations, scaled.schedule.steps) == (720_000, (480_000, 640_000))


def test_the_releases_batch_stays_as_it_is() -> None:
    """Eight images are what the defaults are for."""
    assert settings_for(8).scaled_to_batch() == settings_for(8)


def test_steps_that_meet_become_one() -> None:
    """A training too short for two steps has one, and at least one iteration is left."""
    scaled = settings_for(80, iterations=3, steps=[10, 11]).scaled_to_batch()

    assert (scaled.schedule.iterations, scaled.schedule.steps) == (1, (1,))


def test_all_that_is_given_is_scaled() -> None:
    """A file, assignments and flags are merged first; what is shown is what is used."""
    given = ["classifier=c", "data.boxes=b", "schedule.iterations=1000", "schedule.steps=[600]"]
    flags = {"schedule.batch_size": 4}

    settings = load_settings(None, given, flags, scaled=True)

    assert (settings.schedule.iterations, settings.schedule.steps) == (2000, (1200,))
    shown = show_settings(None, given, flags, scaled=True).split("\n")
    assert [line for line in shown if line[:1] != "#"] == settings.as_toml().rstrip("\n").split(
        "\n"
    )
