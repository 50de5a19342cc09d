"""What a study ran on, for its record."""

import platform
from typing import Any

import torch
import torchvision

from pipelines.devices import resolve_device
from pipelines.environment.hardware import available_cpus, cpu_model


def describe_machine(device: str) -> dict[str, Any]:
    """Return the processor, the GPU if it is the device, the threads and the versions."""
    target = resolve_device(device)
    facts = {"cpu": cpu_model(), "cpus": available_cpus(), "threads": torch.get_num_threads()}
    if target.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(target)
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    return facts | versions | {"python": platform.python_version()}
