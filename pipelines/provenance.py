"""Where an artifact came from: its parents, each with the SHA-256 of its bytes."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Provenance = dict[str, Any]  # {"tool", "parents": [{"role", "path", "sha256", "provenance"?}], ...}


def parent(role: str, path: Path, provenance: Provenance | None = None) -> Provenance:
    """Describe an input file for a provenance record: role, name, SHA-256 and its own parents."""
    record: Provenance = {"role": role, "path": path.name, "sha256": sha256(path)}
    return record | ({"provenance": provenance} if provenance else {})


def provenance_of(*parents: Provenance, **facts: object) -> Provenance:
    """Return the record of an artifact made by this version from ``parents``."""
    return {"tool": f"wtn-cli {tool_version()}", "parents": list(parents), **facts}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_sha256(tensors: "Mapping[str, Tensor]") -> str:
    """Return a SHA-256 over names, dtypes, shapes and bytes of tensors, in name order."""
    import torch  # half a gigabyte, which those who hash files do without

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def tool_version() -> str:
    """Return the version of this program."""
    try:
        return version("wtn-cli")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
