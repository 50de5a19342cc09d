"""What training needs of a machine, each judged by itself.

Torch is imported inside a check: if that fails, the check says why.
"""

import io
import os
import resource
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from pipelines.environment.packages import DISTRIBUTION, Requirement, installed, requirements
from pipelines.environment.torch_checks import computing
from pipelines.environment.verdicts import Check, judged

SHARED_MEMORY = Path("/dev/shm")

_TORCH = ("torch", "torchvision")
_IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")  # those that ``data.images`` takes
_SHARED_AT_LEAST = 2 * 4 * 8 * 3 * 768 * 1024
"""Bytes of what waits there by default: 2 workers (``data.workers``) with 4 batches each
(``pipelines.data.loader.AHEAD``) of 8 images, uint8, as they are stored (Open Images: 768 x 1024).
"""
_FILES_AT_LEAST = 1024  # Linux's default; workers hand over each tensor as an open file
_DISK_AT_LEAST = 5e9  # a few checkpoints of a ResNet-50 with its optimizers' state


def run_checks(output: Path, device: str | None = None) -> Iterator[Check]:
    """Yield all verdicts; those that need torch are left out where it cannot be imported.

    Args:
        output: Where a run would be written.
        device: As in the settings, the only one to try beside the CPU; None for all GPUs.
    """
    needed = {found.name: found for found in requirements() if found.extra is None}
    yield _packages([found for name, found in needed.items() if name not in _TORCH])
    yield from [_imported(name, needed.get(name)) for name in _TORCH]
    yield judged("images", "reinstall Pillow: pip install --force-reinstall pillow", _decoding)
    if all(sys.modules.get(name) for name in _TORCH):
        yield from computing(device)
    yield from _limits()
    yield _output(output)


def free_bytes(place: Path) -> int | None:
    """Return the free space where a file or folder is or would be, or None if nobody knows."""
    above = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
    try:
        return shutil.disk_usage(above).free
    except OSError:
        return None


def open_files() -> int:
    """Return how many files a process may hold open; -1 if that is not limited."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _packages(needed: list[Requirement]) -> Check:
    bad = [found for found in needed if installed(found.name) is None or found.is_too_old]
    if not bad:
        return Check("packages", "ok", f"{len(needed)} of {len(needed)} that {DISTRIBUTION} needs")
    found = ", ".join(f"{each.name} {installed(each.name) or 'missing'}" for each in bad)
    mend = "Install: pip install " + " ".join(f'"{each.wanted}"' for each in bad)
    return Check("packages", "failed", found, mend)


def _imported(name: str, requirement: Requirement | None) -> Check:
    mend = f'Install it: pip install "{requirement.wanted if requirement else name}"'
    check = judged(name, mend, lambda: str(import_module(name).__version__))
    if check.verdict == "ok" and requirement is not None and requirement.is_too_old:
        old = f"{check.finding} is too old, {requirement.minimum} is the oldest that serves"
        return Check(name, "failed", old, mend)
    return check


def _decoding() -> str:
    from PIL import Image

    for form in _IMAGE_FORMATS:
        file = io.BytesIO()
        Image.new("RGB", (8, 8), "red").save(file, form)
        Image.open(file).load()
    return f"{', '.join(_IMAGE_FORMATS)} are decoded"


def _limits() -> Iterator[Check]:
    shared = free_bytes(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None
    if shared is not None:
        yield Check(
            "shared memory",
            "ok" if shared >= _SHARED_AT_LEAST else "warning",
            f"{shared / 1e9:.1f} GB free",
            None
            if shared >= _SHARED_AT_LEAST
            else "Worker processes hand over batches there: docker run --shm-size=8g, or "
            "--set data.workers=0.",
        )
    files = open_files()
    enough = files < 0 or files >= _FILES_AT_LEAST
    yield Check(
        "open files",
        "ok" if enough else "warning",
        "not limited" if files < 0 else f"{files} at most",
        None if enough else f"Allow more: ulimit -n {4 * _FILES_AT_LEAST}",
    )


def _output(output: Path) -> Check:
    above = next(place for place in (output, *output.absolute().parents) if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        return Check("output", "failed", "cannot be written", "Name another place with --output.")
    free = free_bytes(output)
    if free is None:
        return Check("output", "warning", "its free space is not known")
    finding = f"{free / 1e9:.1f} GB free"
    if free < _DISK_AT_LEAST:
        return Check("output", "warning", finding, "Checkpoints need more: free some space.")
    return Check("output", "ok", finding)
