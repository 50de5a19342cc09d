"""Tests for pipelines.environment.hardware."""

import platform
from pathlib import Path

import pytest

from pipelines.environment import hardware
from pipelines.environment.hardware import cpu_model, driver_version, memory_bytes


def test_the_processor_is_told_by_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of all processors, with whatever stands behind the first colon."""
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Abacus 3: fast\nmodel name\t: 2\n"
    )
    monkeypatch.setattr(hardware, "_CPU_INFO", info)

    assert cpu_model() == "Abacus 3: fast"


@pytest.mark.parametrize("text", [None, "CPU implementer : 0x41\n"])
def test_a_processor_without_a_model_is_told_by_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """As on ARM, whose list has no such line, and where there is no such list."""
    info = tmp_path / "cpuinfo"
    if text is not None:
        info.write_text(text)
    monkeypatch.setattr(hardware, "_CPU_INFO", info)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    assert cpu_model() == "aarch64"


def test_a_container_has_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its limit counts where it is less than the machine has; "max" is no limit."""
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(hardware, "_CONTAINER_MEMORY", limit)
    machine = memory_bytes()

    found = []
    for text in ("1048576\n", "max\n", f"{2 * machine}\n"):
        limit.write_text(text)
        found.append(memory_bytes())

    assert found == [1048576, machine, machine]


def test_no_driver_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a machine without NVIDIA's tool nor a tool that fails ends the report."""
    monkeypatch.setattr(hardware, "_DRIVER", ("no-such-program",))
    assert driver_version() is None

    monkeypatch.setattr(hardware, "_DRIVER", ("false",))
    assert driver_version() is None

    monkeypatch.setattr(hardware, "_DRIVER", ("echo", "580.1\n580.1"))
    assert driver_version() == "580.1"
