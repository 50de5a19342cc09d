"""Everything that is recorded about where a program ran."""

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipelines.environment.checks import SHARED_MEMORY, free_bytes, open_files, run_checks
from pipelines.environment.git import GitState, git_state
from pipelines.environment.hardware import (
    available_cpus,
    cpu_model,
    driver_version,
    memory_bytes,
)
from pipelines.environment.packages import extras
from pipelines.environment.verdicts import Check
from pipelines.provenance import tool_version

FILE = "environment.json"

_PROGRAM = Path(__file__).parents[1]


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch can use."""

    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Hardware:
    """A machine.

    Args:
        cpu: Model of the processor.
        cpus: That this process may use.
        memory_bytes: Of the machine, or of its container.
        driver: Version of NVIDIA's driver, or None.
        gpus: All of them.
    """

    cpu: str
    cpus: int
    memory_bytes: int
    driver: str | None
    gpus: tuple[Gpu, ...]


@dataclass(frozen=True)
class Torch:
    """What torch says of itself: versions, and the threads that it computes with."""

    torch: str
    torchvision: str | None
    cuda: str | None
    cudnn: str | None
    threads: int


@dataclass(frozen=True)
class Environment:
    """What a program runs on.

    Args:
        wtn: Version of this program.
        program: Its git state, if it runs from a checkout.
        python: Version of Python.
        system: Operating system and kernel.
        hardware: The machine.
        torch: None where torch cannot be imported.
        extras: Versions of the packages of each extra; None for a missing one.
        limits: ``disk_free_bytes`` at the output, ``shared_memory_free_bytes``, ``open_files``.
        checks: Whether training can run.
        data: Git state of the data index, by role; None outside of a repository.
    """

    wtn: str
    program: GitState | None
    python: str
    system: str
    hardware: Hardware
    torch: Torch | None
    extras: Mapping[str, Mapping[str, str | None]]
    limits: Mapping[str, int | None]
    checks: tuple[Check, ...]
    data: Mapping[str, GitState | None] = field(default_factory=dict)

    @property
    def can_train(self) -> bool:
        """Whether no check has failed."""
        return all(check.verdict != "failed" for check in self.checks)

    @property
    def machine(self) -> str:
        """The GPUs, or else the processor, in a few words."""
        return ", ".join(gpu.name for gpu in self.hardware.gpus) or self.hardware.cpu

    def save(self, folder: Path) -> None:
        """Write ``environment.json`` into a folder."""
        from pipelines.storage import atomic_path  # needs safetensors, which may be missing

        with atomic_path(folder / FILE) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")


def describe_environment(
    output: Path, data: Mapping[str, Path] | None = None, device: str | None = None
) -> Environment:
    """Look at this machine.

    Args:
        output: Where a run would be written.
        data: Files whose git state is wanted, by role.
        device: The only one to try beside the CPU; None for all GPUs.
    """
    checks = tuple(run_checks(output, device))  # imports torch, if it can be
    return Environment(
        wtn=tool_version(),
        program=_program_state(),
        python=platform.python_version(),
        system=_system(),
        hardware=Hardware(
            cpu_model(), available_cpus(), memory_bytes(), driver_version(), tuple(_gpus())
        ),
        torch=_torch(),
        extras=extras(),
        limits={
            "disk_free_bytes": free_bytes(output),
            "shared_memory_free_bytes": (
                free_bytes(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None
            ),
            "open_files": open_files(),
        },
        checks=checks,
        data={role: git_state(path) for role, path in (data or {}).items()},
    )


def read_environment(folder: Path) -> Environment | None:
    """Return what ``environment.json`` in a folder holds; None without one that can be read."""
    try:
        return TypeAdapter(Environment).validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def _program_state() -> GitState | None:
    """Return the state of the source tree that this runs from, if git follows it."""
    state = git_state(_PROGRAM)
    return None if state is None or state.state == "untracked" else state


def _torch() -> Torch | None:
    """Return what torch says of itself, or None where it could not be imported."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return None
    torchvision: Any = sys.modules.get("torchvision")
    return Torch(
        str(torch.__version__),
        None if torchvision is None else str(torchvision.__version__),
        torch.version.cuda,
        _cudnn(torch.backends.cudnn.version()),
        torch.get_num_threads(),
    )


def _cudnn(number: int | None) -> str | None:
    """Return cuDNN's number as its version: 92600 as 9.26.0."""
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}" if number else None


def _gpus() -> list[Gpu]:
    """Return the GPUs that torch can use."""
    torch: Any = sys.modules.get("torch")
    count = torch.cuda.device_count() if torch is not None and torch.cuda.is_available() else 0
    found = [torch.cuda.get_device_properties(number) for number in range(count)]
    return [Gpu(gpu.name, gpu.total_memory) for gpu in found]


def _system() -> str:
    """Return the operating system, its version and the kind of processor, but no host name."""
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    if sys.platform != "linux":
        return kernel
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    except (OSError, KeyError):
        return kernel
