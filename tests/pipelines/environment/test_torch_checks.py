"""Tests for pipelines.environment.torch_checks."""

import pytest
import torch
import torchvision

from pipelines.environment import torch_checks
from pipelines.environment.torch_checks import computing
from pipelines.environment.verdicts import Check


def _found(device: str | None = None) -> dict[str, Check]:
    return {check.name: check for check in computing(device)}


def test_an_operator_that_errs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suppression that keeps both boxes is worse than none."""
    monkeypatch.setattr(torchvision.ops, "nms", lambda boxes, scores, limit: torch.arange(2))

    assert _found()["nms"].finding == "RuntimeError: non-maximum suppression errs on cpu"


@pytest.mark.parametrize(
    ("driver", "finding"),
    [(None, "none: training runs on the CPU"), ("580.1", "though there is driver 580.1")],
)
def test_a_gpu_that_torch_does_not_find_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, driver: str | None, finding: str
) -> None:
    """Training runs without one; where there is a driver, the build of torch is to blame."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch_checks, "driver_version", lambda: driver)

    found = _found()["gpu"]

    assert found.verdict == "warning"
    assert found.finding.endswith(finding)
    assert (found.mend is not None) == (driver is not None)


@pytest.mark.parametrize(
    ("device", "tried"),
    [(None, ["cuda:0", "cuda:1"]), ("auto", ["cuda"]), ("cuda:1", ["cuda:1"])],
)
def test_a_training_tries_its_own_gpu_alone(
    monkeypatch: pytest.MonkeyPatch, device: str | None, tried: list[str]
) -> None:
    """Memory of the others is not taken; without a device all of them are tried."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch_checks, "_nms", lambda devices: f"works on {devices}")
    monkeypatch.setattr(torch_checks, "_multiply", lambda gpus: f"works on {gpus}")

    found = {name: check.finding for name, check in _found(device).items()}

    assert found["gpu"] == f"works on {tried}"
    assert found["nms"] == f"works on {['cpu', *tried]}"


def test_a_training_on_the_cpu_tries_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though there is one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    found = _found("cpu")["gpu"]

    assert (found.verdict, found.finding) == ("ok", "not asked for")
