"""Tests for pipelines.study.machine."""

import platform

import pytest
import torch

from pipelines.environment.hardware import available_cpus
from pipelines.errors import ConfigError
from pipelines.study import machine
from pipelines.study.machine import describe_machine


def test_the_processor_is_told_by_its_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what else decides times and last digits; on the CPU there is no word of a GPU."""
    monkeypatch.setattr(machine, "cpu_model", lambda: "Abacus 3: fast")

    assert describe_machine("cpu") == {
        "cpu": "Abacus 3: fast",
        "cpus": available_cpus(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "torchvision": machine.torchvision.__version__,
        "python": platform.python_version(),
    }


def test_the_gpu_is_that_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two GPUs, if that one is asked for."""
    names = {torch.device("cuda:0"): "first", torch.device("cuda:1"): "second"}
    monkeypatch.setattr(machine, "resolve_device", torch.device)
    monkeypatch.setattr(torch.cuda, "get_device_name", names.__getitem__)

    assert describe_machine("cuda:1")["gpu"] == "second"


def test_an_unknown_device_is_a_usage_error() -> None:
    """It is named."""
    with pytest.raises(ConfigError, match="device 'abacus'"):
        describe_machine("abacus")
