"""What a study ran on, for its record."""

import platform
from pathlib import Path
from typing import Any

import torch
import torchvision

from pipelines.benchmarks.machine import available_cpus
from pipelines.devices import resolve_device

_CPU_INFO = Path("/proc/cpuinfo")


def describe_machine(device: str) -> dict[str, Any]:
    """Return the processor, the GPU if it is the device, the threads and the versions."""
    target = resolve_device(device)
    facts = {"cpu": _cpu(), "cpus": available_cpus(), "threads": torch.get_num_threads()}
    if target.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(target)
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    return facts | versions | {"python": platform.python_version()}


def _cpu() -> str:
    """Return the model of the processor, or its architecture where that is not told."""
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
