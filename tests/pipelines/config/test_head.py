"""Tests for pipelines.config.head."""

import pytest
from pydantic import ValidationError

from pipelines.config import HeadSettings
from pipelines.config.head import TRANSFERS, USED_BY

METHODS = ("faster-rcnn", "lsda", "zsd", *TRANSFERS)
CHANGED: dict[str, object] = {
    "input_norm": True,
    "norm": "batch",
    "negative_slope": 0.1,
    "zero_gamma": False,
    "initialization": "msra",
    "dropout": 0.3,
    "activity": 0.01,
    "activity_reduction": "l2",
    "bias": "per-class",
    "alpha": 1.0,
    "reconstruction": "l2",
    "reconstructed": "seen",
    "reconstructed_count": 2,
}  # to other values than the defaults
SHARED = {"hidden": 64, "groups": 8, "prior": 0.1, "lsda": {"scale": 2.0}, "zsd": {"scale": 2.0}}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CHANGED)
def test_a_setting_that_changes_nothing_is_refused(method: str, name: str) -> None:
    """A method takes the settings that it uses, and names those that use another."""
    settings = {"method": method, name: CHANGED[name]}

    if method in USED_BY[name]:
        assert getattr(HeadSettings.model_validate(settings), name) == CHANGED[name]
        return
    expected = f"{name} changes nothing in {method.replace('+', '[+]')}, only in .*ae-wtn"
    with pytest.raises(ValidationError, match=expected):
        HeadSettings.model_validate(settings)


@pytest.mark.parametrize("method", METHODS)
def test_one_settings_file_may_serve_all_methods(method: str) -> None:
    """Sizes, the prior, tables named after a method, and defaults that are written out."""
    settings = HeadSettings.model_validate({"method": method} | SHARED)

    written = HeadSettings.model_validate(settings.model_dump())

    assert written == settings
    HeadSettings.model_validate(HeadSettings().model_dump() | {"method": method})


def test_every_setting_is_shared_or_has_its_methods() -> None:
    """A new setting has to say which methods use it."""
    assert HeadSettings.model_fields.keys() == {"method", *SHARED, *USED_BY}
    assert CHANGED.keys() == USED_BY.keys()


@pytest.mark.parametrize(
    ("method", "standardizes", "norm"),
    [("wtn", False, "none"), ("wtn+", True, "group"), ("ae-wtn", True, "group")],
)
def test_a_method_has_its_own_normalisations(method: str, standardizes: bool, norm: str) -> None:
    """What is not set follows the method; what is set wins."""
    head = HeadSettings.model_validate({"method": method})
    turned = {"method": method, "input_norm": not standardizes, "norm": "batch"}
    other = HeadSettings.model_validate(turned)

    assert (head.standardizes, head.hidden_norm) == (standardizes, norm)
    assert (other.standardizes, other.hidden_norm) == (not standardizes, "batch")


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ({"method": "wtn", "negative_slope": 0}, True),  # it has no norm to start at zero
        ({"method": "wtn+", "negative_slope": 0, "norm": "none"}, True),
        ({"method": "wtn+", "negative_slope": 0, "zero_gamma": False}, True),
        ({"method": "wtn+", "negative_slope": 0}, False),
        ({"method": "wtn", "negative_slope": 0, "norm": "batch"}, False),
    ],
)
def test_a_start_without_gradient_is_refused(settings: dict[str, object], allowed: bool) -> None:
    """At scale 0 every activation is 0, where a plain ReLU passes nothing."""
    if allowed:
        HeadSettings.model_validate(settings)
        return
    with pytest.raises(ValidationError, match="passes no gradient"):
        HeadSettings.model_validate(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": 1.0},
        {"activity": -0.1},
        {"alpha": -1.0},
        {"prior": 0.0},
        {"prior": 1.0},
        {"hidden": 0},
        {"groups": 0},
        {"zsd": {"scale": 0.0}},
        {"zsd": {"mode": "softmax"}},
        {"lsda": {"scale": 0.0}},
    ],
)
def test_a_value_out_of_range_is_refused(settings: dict[str, object]) -> None:
    """Nothing that could not train is let through."""
    with pytest.raises(ValidationError):
        HeadSettings.model_validate(settings)
