"""Tensors by name from state dicts and bare matrices in files; nothing in a file is ever executed.

Shapes: none are assumed here; :mod:`pipelines.classifiers.final_layer` interprets them.
"""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipelines.errors import ArtifactError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".npz", ".npy")
BARE_MATRIX = "weight"  # the name of a matrix that has none

_NESTINGS = ("state_dict", "model_state_dict", "model")  # by custom, in this order
_WRAPPERS = ("module.", "_orig_mod.", "model.")  # DataParallel, torch.compile, Lightning
_NOT_PYTORCH = (EOFError, LookupError, OSError, RuntimeError, ValueError)  # torch.load's errors
_FORBIDDEN_GLOBAL = re.compile(r"GLOBAL (\S+)")
_COPY_AGAIN = "The file is truncated or of another kind; copy or download it again."


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, in the file's order.

    Customary nestings (``state_dict``, ``model``) and name prefixes that every tensor carries
    (``module.``, ``_orig_mod.``, ``model.``) are removed.

    Args:
        path: A ``.safetensors``, ``.pth``, ``.pt``, ``.bin``, ``.ckpt`` (PyTorch), ``.npz`` or
            ``.npy`` file.

    Raises:
        ArtifactError: If the file is missing, truncated, of another kind, holds no tensor, or
            needs code to be run to be read.
    """
    if not path.is_file():
        raise ArtifactError("no such file", where=path)
    match path.suffix:
        case ".safetensors":
            tensors = _read_safetensors(path)
        case ".npz" | ".npy":
            tensors = _read_numpy(path)
        case ".pth" | ".pt" | ".bin" | ".ckpt":
            tensors = _read_pickle(path)
        case _:
            raise ArtifactError(
                f"files named {path.suffix or 'without a suffix'} are not known as classifiers",
                where=path,
                mend=f"Known are {', '.join(SUFFIXES)}, a TensorFlow V2 checkpoint's prefix and "
                "torchvision:NAME.",
            )
    if not tensors:
        raise ArtifactError("the file holds no tensors", where=path)
    return _unwrap(tensors)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            made_here = (file.metadata() or {}).get("format", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise ArtifactError(
            f"not a complete safetensors file ({error})", where=path, mend=_COPY_AGAIN
        ) from error
    if made_here.startswith("wtn."):
        raise ArtifactError(
            f"already an artifact of wtn ({made_here}), not a classifier",
            where=path,
            mend="Extract from the file that it was made from; wtn inspect names it.",
        )
    return tensors


def _read_numpy(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {BARE_MATRIX: loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
    except (EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"not a complete file of numeric NumPy arrays ({error})", where=path, mend=_COPY_AGAIN
        ) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *_NOT_PYTORCH) as error:
        forbidden = _FORBIDDEN_GLOBAL.search(str(error))
        if forbidden:
            raise ArtifactError(
                f"it pickles objects besides weights ({forbidden[1]}); reading it could run code",
                where=path,
                mend="Where it was made, save the state dict alone: "
                "torch.save(model.state_dict(), FILE).",
            ) from error
        first_sentence = str(error).partition("\n")[0].partition(". ")[0]
        raise ArtifactError(
            f"not a complete PyTorch file ({first_sentence or type(error).__name__})",
            where=path,
            mend=_COPY_AGAIN,
        ) from error
    return _unnest(loaded)


def _unnest(loaded: Any) -> dict[str, Tensor]:  # noqa: ANN401 - whatever the pickle holds
    if isinstance(loaded, Tensor):
        return {BARE_MATRIX: loaded}
    if not isinstance(loaded, Mapping):
        return {}
    for nesting in _NESTINGS:
        if isinstance(loaded.get(nesting), Mapping):
            return _unnest(loaded[nesting])
    return {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}


def _unwrap(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove prefixes that all names share; one that only some carry is part of the names."""
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            return _unwrap({name.removeprefix(wrapper): t for name, t in tensors.items()})
    return tensors
