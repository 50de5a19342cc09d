"""Tests for pipelines.config.comparison."""

from pipelines.config.comparison import differences, first_of


def test_what_the_user_chose_comes_first() -> None:
    """The steps follow from the iterations; what is the same is not told."""
    there = {"seed": 0, "schedule.steps": (65,), "schedule.iterations": 100}
    now = {"seed": 0, "schedule.steps": (130,), "schedule.iterations": 200, "new": None}

    assert differences(there, now, first="schedule.iterations") == [
        "schedule.iterations is 100 there, 200 now",
        "schedule.steps is (65,) there, (130,) now",
    ]


def test_a_message_holds_the_first_differences() -> None:
    """The rest is counted: another world would differ in dozens."""
    assert first_of(["a", "b", "c"]) == "a; b; c"
    assert first_of(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"
