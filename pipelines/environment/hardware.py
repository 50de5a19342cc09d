"""The processor, the memory and the GPU driver of this machine."""

import os
import platform
import subprocess
import sys
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")  # "max", or the bytes that a container has
_DRIVER = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
_DRIVER_SECONDS = 10


def available_cpus() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def cpu_model() -> str:
    """Return the model of the processor, or its architecture where that is not told."""
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    """Return the memory of this machine, or of its container if that is less, in bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _CONTAINER_MEMORY.read_text().strip() if _CONTAINER_MEMORY.is_file() else "max"
    return min(total, int(limit)) if limit.isdecimal() else total


def driver_version() -> str | None:
    """Return the version of NVIDIA's driver, or None where there is none."""
    try:
        ended = subprocess.run(
            _DRIVER, capture_output=True, text=True, timeout=_DRIVER_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.partition("\n")[0].strip() or None
