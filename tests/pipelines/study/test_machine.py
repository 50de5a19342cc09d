"""Tests for pipelines.study.machine."""

import platform
from pathlib import Path

import pytest
import torch

from pipelines.benchmarks.machine import available_cpus
from pipelines.errors import ConfigError
from pipelines.study import machine
from pipelines.study.machine import describe_machine


def test_the_processor_is_told_by_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what else decides times and last digits; on the CPU there is no word of a GPU."""
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Abacus 3: fast\nmodel name\t: 2\n"
    )
    monkeypatch.setattr(machine, "_CPU_INFO", info)

    assert describe_machine("cpu") == {
        "cpu": "Abacus 3: fast",
        "cpus": available_cpus(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "torchvision": machine.torchvision.__version__,
        "python": platform.python_version(),
    }


@pytest.mark.parametrize("text", [None, "CPU implementer : 0x41\n"])
def test_a_processor_without_a_model_is_told_by_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """As on ARM, whose list has no such line, and where there is no such list."""
    info = tmp_path / "cpuinfo"
    if text is not None:
        info.write_text(text)
    monkeypatch.setattr(machine, "_CPU_INFO", info)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    assert describe_machine("cpu")["cpu"] == "aarch64"


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
