"""Whether torch and torchvision compute, on the CPU and on GPUs. Both can be imported."""

from collections.abc import Iterator

from pipelines.environment.hardware import driver_version
from pipelines.environment.verdicts import Check, judged

_BUILDS = "see pytorch.org/get-started"


def computing(device: str | None) -> Iterator[Check]:
    """Yield verdicts on the operators and on the GPUs.

    Args:
        device: The only one to try beside the CPU, such as that of a training, so that no memory of
            others is taken; ``auto`` as in the settings, None for all GPUs.
    """
    gpus = _gpus(device)
    mend = f"Install torch and torchvision of one build, {_BUILDS}."
    yield judged("nms", mend, lambda: _nms(["cpu", *gpus]))
    if gpus:
        mend = f"Install a build of torch for this GPU and its driver, {_BUILDS}."
        yield judged("gpu", mend, lambda: _multiply(gpus))
    else:
        yield Check("gpu", "ok", "not asked for") if device == "cpu" else _no_gpu()


def _gpus(device: str | None) -> list[str]:
    """Return the GPUs to try."""
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return []
    if device is None:
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ["cuda" if device == "auto" else device]


def _nms(devices: list[str]) -> str:
    """Suppress one of two boxes on each device."""
    import torch
    from torchvision.ops import nms

    for device in devices:
        boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9]], device=device)
        if nms(boxes, boxes[:, 3], 0.5).tolist() != [0]:
            raise RuntimeError(f"non-maximum suppression errs on {device}")
    return f"non-maximum suppression works on {', '.join(devices)}"


def _multiply(gpus: list[str]) -> str:
    """Multiply two matrices on each GPU."""
    import torch

    for gpu in gpus:
        ones = torch.ones(8, 8, device=gpu)
        if float((ones @ ones).sum()) != 8**3:
            raise RuntimeError(f"{gpu} computes wrong products")
    return f"matrices are multiplied on {', '.join(gpus)}"


def _no_gpu() -> Check:
    import torch

    finding, driver = "none: training runs on the CPU", driver_version()
    if driver is None:
        return Check("gpu", "warning", finding)
    cuda = torch.version.cuda
    build = f"is built for CUDA {cuda}" if cuda else "is built without CUDA"
    return Check(
        "gpu",
        "warning",
        f"{finding}, since torch {build} and finds none, though there is driver {driver}",
        f"Install a build of torch for this driver, {_BUILDS}; or look whether "
        "CUDA_VISIBLE_DEVICES hides the GPUs.",
    )
