"""What training needs of a machine, each judged by itself.

Torch is imported inside a check: if that fails, the check says why.
"""

import io
import os
import re
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from pipelines.environment.hardware import driver_version
from pipelines.environment.packages import DISTRIBUTION, Requirement, installed, requirements

SHARED_MEMORY = Path("/dev/shm")

_TORCH = ("torch", "torchvision")
_IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")  # those that ``data.images`` takes
_SHARED_AT_LEAST = (
    500e6  # 2 workers with 2 batches each, of 8 images of 800 x 1333, float32: 410 MB
)
_FILES_AT_LEAST = 1024  # Linux's default; workers hand over each tensor as an open file
_DISK_AT_LEAST = 5e9  # a few checkpoints of a ResNet-50 with its optimizers' state
_FOLDERS = re.compile(r"(?:/[^/\s'\"():,]+)+/")


@dataclass(frozen=True)
class Check:
    """A verdict on one thing that training needs.

    Args:
        name: Of the thing.
        verdict: ``ok``, ``warning`` if training runs but may be slow or stop, ``failed`` if not.
        finding: What was found.
        mend: What to do about it.
    """

    name: str
    verdict: Literal["ok", "warning", "failed"]
    finding: str
    mend: str | None = None


def run_checks(output: Path) -> Iterator[Check]:
    """Yield all verdicts; those that need torch are left out where it cannot be imported.

    Args:
        output: Where a run would be written.
    """
    needed = {found.name: found for found in requirements() if found.extra is None}
    yield _packages([found for name, found in needed.items() if name not in _TORCH])
    yield from [_imported(name, needed.get(name)) for name in _TORCH]
    yield _judged("images", "reinstall Pillow: pip install --force-reinstall pillow", _decoding)
    if all(sys.modules.get(name) for name in _TORCH):
        mend = "Install torch and torchvision of one build, see pytorch.org/get-started."
        yield _judged("nms", mend, _nms)
        yield _gpu()
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
    check = _judged(name, mend, lambda: str(import_module(name).__version__))
    if check.verdict == "ok" and requirement is not None and requirement.is_too_old:
        old = f"{check.finding} is too old, {requirement.minimum} is the oldest that serves"
        return Check(name, "failed", old, mend)
    return check


def _judged(name: str, mend: str, work: Callable[[], str]) -> Check:
    """Return what ``work`` finds, or the error that it ends with, which counts as failed."""
    try:
        return Check(name, "ok", work())
    except Exception as error:  # whatever a broken installation raises
        first_line = f"{type(error).__name__}: {error}".partition("\n")[0]
        return Check(name, "failed", _FOLDERS.sub("", first_line), mend)


def _decoding() -> str:
    from PIL import Image

    for form in _IMAGE_FORMATS:
        file = io.BytesIO()
        Image.new("RGB", (8, 8), "red").save(file, form)
        Image.open(file).load()
    return f"{', '.join(_IMAGE_FORMATS)} are decoded"


def _nms() -> str:
    """Suppress one of two boxes, on each kind of device."""
    import torch
    from torchvision.ops import nms

    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9]], device=device)
        if nms(boxes, boxes[:, 3], 0.5).tolist() != [0]:
            raise RuntimeError(f"non-maximum suppression errs on {device}")
    return f"non-maximum suppression works on {' and '.join(devices)}"


def _gpu() -> Check:
    import torch

    if not torch.cuda.is_available():
        return _no_gpu(torch.version.cuda)
    mend = "Install a build of torch for this GPU and its driver, see pytorch.org/get-started."
    return _judged("gpu", mend, _multiply)


def _multiply() -> str:
    """Multiply two matrices on every GPU."""
    import torch

    count = torch.cuda.device_count()
    for number in range(count):
        ones = torch.ones(8, 8, device=f"cuda:{number}")
        if float((ones @ ones).sum()) != 8**3:
            raise RuntimeError(f"cuda:{number} computes wrong products")
    return f"{count} of {count} compute"


def _no_gpu(built_for: str | None) -> Check:
    finding, driver = "none: training runs on the CPU", driver_version()
    if driver is None:
        return Check("gpu", "warning", finding)
    build = f"is built for CUDA {built_for}" if built_for else "is built without CUDA"
    return Check(
        "gpu",
        "warning",
        f"{finding}, since torch {build} and finds none, though there is driver {driver}",
        "Install a build of torch for this driver, see pytorch.org/get-started; or look whether "
        "CUDA_VISIBLE_DEVICES hides the GPUs.",
    )


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
