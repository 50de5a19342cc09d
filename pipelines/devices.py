"""Which device to run on, and how much of it was needed."""

import torch

from pipelines.errors import ConfigError
from pipelines.memory import peak_rss_bytes


def device_named(name: str) -> torch.device:
    """Return the device that ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` stands for, there or not.

    Raises:
        ConfigError: If no device is called so.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise _unusable(name, error) from error


def resolve_device(name: str) -> torch.device:
    """Return the device of a name, see :func:`device_named`.

    Raises:
        ConfigError: If there is no such device here.
    """
    device = device_named(name)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise _unusable(name, error) from error
    return device


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory that was in use so far: of a GPU, or else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_rss_bytes()


def _unusable(name: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"device {name!r} cannot be used here ({str(error).partition(chr(10))[0]})",
        mend="Use --device auto, or cpu.",
    )
