"""Tensors by name from state dicts and bare matrices in files; nothing in a file is ever executed.

Shapes: none are assumed here; :mod:`pipelines.classifiers.final_layer` interprets them.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipelines.errors import ArtifactError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".npz", ".npy")
BARE_MATRIX = "weight"  # the name of a matrix that has none
CLASS_IDS = "ids"  # an array of text beside a matrix in an .npz file

_NESTINGS = ("state_dict", "model_state_dict", "model")  # by custom, in this order
_WRAPPERS = ("module.", "_orig_mod.", "model.")  # DataParallel, torch.compile, Lightning
_NOT_NUMPY = (EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError,
              zipfile.BadZipFile, zlib.error)  # fmt: skip
_FORBIDDEN_GLOBAL = re.compile(r"GLOBAL (\S+)")
_COPY_AGAIN = "The file is truncated or of another kind; copy or download it again."


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, in the file's order.

    Customary nestings (``state_dict``, ``model``) and name prefixes that every tensor carries
    (``module.``, ``_orig_mod.``, ``model.``) are removed.

    Args:
        path: A ``.safetensors``, ``.pth``, ``.pt``, ``.bin``, ``.ckpt`` (PyTorch), ``.npz`` or
            ``.npy`` file. What is not numeric in an ``.npz`` file, such as names, is left out.

    Raises:
        ArtifactError: If the file is missing, truncated, of another kind, holds no tensor or one
            that is not dense, or needs code to be run to be read.
    """
    if not path.is_file():
        raise ArtifactError("a folder, not a file" if path.is_dir() else "no such file", where=path)
    match path.suffix.lower():
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
                mend=f"Known are {', '.join(SUFFIXES)}, word vectors (.vec, .txt, possibly "
                "with .gz; fastText's .bin, unpacked), a TensorFlow V2 checkpoint's prefix and "
                "torchvision:NAME.",
            )
    if not tensors:
        raise ArtifactError("the file holds no tensors", where=path)
    _refuse_sparse(path, tensors)
    return _unwrap(tensors)


def read_class_ids(path: Path) -> tuple[str, ...]:
    """Return the class ids of a file that :func:`read_tensors` reads, in row order.

    Only an ``.npz`` file can have them: an array of text named ``ids``. Otherwise there are none.
    """
    if path.suffix.lower() != ".npz":
        return ()
    with np.load(path, allow_pickle=False) as archive:
        try:
            ids = archive[CLASS_IDS]
        except (KeyError, ValueError):  # none, or an array of Python objects
            return ()
    return tuple(str(class_id) for class_id in ids.flat) if ids.dtype.kind == "U" else ()


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            made_here = (file.metadata() or {}).get("format", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
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
            bare = isinstance(loaded, np.ndarray)
            arrays = {BARE_MATRIX: loaded} if bare else dict(_numeric_members(loaded))
        return {name: _from_numpy(array) for name, array in arrays.items()}
    except _NOT_NUMPY as error:
        raise ArtifactError(
            f"not a complete file of numeric NumPy arrays ({error})", where=path, mend=_COPY_AGAIN
        ) from error


def _numeric_members(archive: NpzFile) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in archive.files:
        try:
            member = archive[name]
        except ValueError as error:
            if "allow_pickle" in str(error):  # an array of Python objects
                continue
            raise
        if isinstance(member, np.ndarray) and member.dtype.kind in "biufc":
            yield name, member


def _from_numpy(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
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


def _refuse_sparse(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise ArtifactError(
                f"tensor {name!r} is sparse, quantised or without numbers",
                where=path,
                mend="Where it was made, save dense numbers: tensor.to_dense() or "
                "tensor.dequantize().",
            )


def _unwrap(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove prefixes that all names share; one that only some carry is part of the names."""
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            return _unwrap({name.removeprefix(wrapper): t for name, t in tensors.items()})
    return tensors
