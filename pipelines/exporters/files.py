"""Files that several forms share, and what is expected of them when they are read back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.errors import RunError

COUNTERS = "num_batches_tracked"  # of batch norms, which are frozen in an export


def renamed(state: Mapping[str, Tensor], names: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """Return a state dict with other names, and without the counters that only training uses.

    Args:
        state: Of a detector.
        names: Parts of a name and what replaces them, applied one after another.
    """
    kept = (name for name in state if not name.endswith(COUNTERS))
    return {_renamed(name, names): state[name].detach().cpu().contiguous() for name in kept}


def _renamed(name: str, names: Sequence[tuple[str, str]]) -> str:
    for part, replacement in names:
        name = name.replace(part, replacement)
    return name


def read_tensors(path: Path) -> Any:  # noqa: ANN401 - whatever a program's format nests
    """Read a file of ``torch.save`` that holds no code."""
    return torch.load(path, map_location="cpu", weights_only=True)


def expect_tensors(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise RunError unless a file holds these tensors, all of them and no others."""
    differing = sorted(found.keys() ^ wanted.keys())
    differing += [n for n in wanted if n in found and not torch.equal(found[n], wanted[n])]
    if differing:
        raise RunError(
            f"{differing[0]} is not in it as it was written ({len(differing)} such tensors)",
            where=path,
            mend="Check the disk, and export again.",
        )
