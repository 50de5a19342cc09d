"""Safetensors files with a typed header, written as a whole and checked when read.

Torch is imported where there are tensors, and not before: preparing a dataset takes none, and torch
takes seconds and half a gigabyte.
"""

import errno
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError, safe_open

from pipelines.errors import ArtifactError, ConfigError, DatasetError
from pipelines.provenance import Provenance
from pipelines.vocabulary import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = "1"

_SIZE_BYTES = 8  # a safetensors file begins with the size of its header, little-endian


def refuse_to_replace(output: Path, inputs: Iterable[Path | None]) -> None:
    """Raise ConfigError if an output is one of the inputs."""
    for path in inputs:
        if path is not None and path.exists() and output.exists() and path.samefile(output):
            raise ConfigError(
                "the output would replace an input",
                where=output,
                mend="Name another file for it.",
            )


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that becomes ``path`` only if the block succeeds.

    Raises:
        ConfigError: If ``path`` is a folder or a device, or lies below a file.
        OSError: If there can be no file; names ``path``.
    """
    temporary = _temporary_beside(path)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_unwritable(outputs: Iterable[Path | None]) -> None:
    """Raise what :func:`atomic_path` would raise for one of the outputs, before a long work."""
    for path in filter(None, outputs):
        place = path
        while not place.parent.exists():
            place = place.parent
        _temporary_beside(place).unlink()


def leftovers_in(folder: Path) -> Iterator[Path]:
    """Yield the temporary files of :func:`atomic_path` whose writing was killed."""
    yield from folder.glob(".*.????????.tmp")


def _temporary_beside(path: Path) -> Path:
    if path.exists() and not path.is_file():
        raise ConfigError(
            "the output is a folder" if path.is_dir() else "the output is not a regular file",
            where=path,
            mend="Name a file.",
        )
    above = next(place for place in path.parents if place.exists())
    if not above.is_dir():
        raise ConfigError(
            "a file, not a folder", where=above, mend="Name another place for the output."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    os.close(handle)
    return Path(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_artifact(
    path: Path,
    format_name: str,
    tensors: "Mapping[str, Tensor]",
    header: Mapping[str, Any],
    provenance: Provenance,
) -> None:
    """Write tensors with a header of JSON values, atomically."""
    with atomic_path(path) as temporary:
        save_tensors(temporary, tensors, header_metadata(format_name, header, provenance))


def save_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, readable by those whom the umask lets.

    Raises:
        OSError: If the disk is full or fails.
    """
    from safetensors.torch import save_file

    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(kept, path, dict(metadata))
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(path)) from error
    _order_metadata(path)
    path.chmod(0o666 & ~_umask())


def _order_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file, so that equal contents are equal bytes.

    The library writes them as a hash map gives them, in another order each time.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(_SIZE_BYTES), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= size:  # the same characters in another order, padded with spaces
            file.seek(_SIZE_BYTES)
            file.write(text.ljust(size))


def header_metadata(
    format_name: str, header: Mapping[str, Any], provenance: Provenance
) -> dict[str, str]:
    """Return the safetensors metadata of an artifact; ``header`` holds JSON values."""
    metadata = {"format": format_name, "format_version": FORMAT_VERSION}
    metadata |= {key: json.dumps(value) for key, value in header.items()}
    return metadata | {"provenance": json.dumps(provenance)}


def read_artifact(
    path: Path, format_name: str, keys: Sequence[str], made_by: str
) -> "tuple[dict[str, Tensor], dict[str, Any], Provenance]":
    """Read the tensors, header and provenance of one format.

    The arguments are those of :func:`read_header_of`.

    Raises:
        ArtifactError: As :func:`read_header_of` does, or if the file holds a number that is not
            finite.
    """
    header = read_header_of(path, format_name, keys, made_by)
    with opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in header["shapes"]}
    for name, tensor in tensors.items():
        expect_finite(path, name, tensor)
    return tensors, header, header.get("provenance", {})


def read_header_of(
    path: Path, format_name: str, keys: Sequence[str], made_by: str
) -> dict[str, Any]:
    """Read the header of one format, as :func:`read_header` does.

    Args:
        path: The file.
        format_name: The format that it must have.
        keys: What its header must hold.
        made_by: The command that makes such a file, for the message.

    Raises:
        ArtifactError: If it is missing, truncated, of another format or version, or lacks a key.
    """
    header = read_header(path)
    if header["format"] != format_name:
        raise ArtifactError(
            f"expected a {format_name} file, found {header['format']}",
            where=path,
            mend=f"Make one with: {made_by}",
        )
    expect_keys(path, header, keys, made_by)
    return header


def expect_keys(path: Path, header: Mapping[str, Any], keys: Sequence[str], made_by: str) -> None:
    """Raise ArtifactError if a header lacks a key; the arguments are as for read_header_of."""
    missing = [key for key in keys if key not in header]
    if missing:
        raise ArtifactError(
            f"its header lacks {', '.join(missing)}", where=path, mend=f"Make it with: {made_by}"
        )


def read_header(path: Path) -> dict[str, Any]:
    """Return an artifact's header without its tensors, plus ``shapes`` {name: list of int}.

    Raises:
        ArtifactError: If the file is not an artifact of this program, or of another version.
    """
    with opened(path, "numpy") as file:
        metadata = file.metadata() or {}
        if not metadata.get("format", "").startswith("wtn."):
            raise ArtifactError(
                "not an artifact of wtn (its header names no format)",
                where=path,
                mend="Other checkpoints become one with: wtn extract-weights SOURCE -o FILE",
            )
        _expect_version(path, metadata.get("format_version"))
        shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a mapping
    return {key: _from_header(path, key, text) for key, text in metadata.items()} | {
        "shapes": shapes
    }


def vocabulary_to_json(vocabulary: Vocabulary) -> dict[str, list[str]]:
    """Return the ids and names as JSON values."""
    return {"ids": list(vocabulary.ids), "names": list(vocabulary.names)}


def vocabulary_from_json(path: Path, record: Mapping[str, list[str]]) -> Vocabulary:
    """Return the classes of a header; ``path`` is for the message."""
    try:
        return Vocabulary(tuple(record["ids"]), tuple(record["names"]))
    except (DatasetError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"bad vocabulary: {error}", where=path, mend="Make the file again."
        ) from error


def required_tensor(path: Path, tensors: "Mapping[str, Tensor]", name: str) -> "Tensor":
    """Return a tensor that the format requires; raises ArtifactError if it is missing."""
    if name not in tensors:
        raise ArtifactError(f"tensor {name!r} is missing", where=path)
    return tensors[name]


def expect_shape(
    path: Path,
    name: str,
    tensor: "Tensor",
    shape: tuple[int | None, ...],
    dtype: object = "torch.float32",
) -> None:
    """Raise ArtifactError unless it is of that type and shape; None stands for any size."""
    if str(tensor.dtype) != str(dtype):
        raise ArtifactError(f"{name} is {tensor.dtype}, not {dtype}", where=path)
    fits = tensor.dim() == len(shape) and all(
        want is None or have == want for have, want in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        wanted = [size or "any" for size in shape]
        raise ArtifactError(
            f"{name} has shape {list(tensor.shape)} where {wanted} was expected", where=path
        )


@contextmanager
def opened(path: Path, framework: Literal["pt", "numpy"] = "pt") -> Iterator[Any]:
    """Open a safetensors file; raises ArtifactError if it is not a complete one."""
    if path.is_dir():
        inside = sorted(file.name for file in path.glob("*.safetensors"))
        mend = f"In it is {inside[0]}." if inside else None
        raise ArtifactError("a folder, not a file", where=path, mend=mend)
    if not path.is_file():
        raise ArtifactError("no such file", where=path)
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except SafetensorError as error:
        raise ArtifactError(
            "not a complete safetensors file",
            where=path,
            mend="The file is truncated or of another kind; copy or make it again.",
        ) from error


def _expect_version(path: Path, version: str | None) -> None:
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"format version {version} is not known (this is version {FORMAT_VERSION})",
            where=path,
            mend="Install the version of wtn-cli that wrote it, or make the file again.",
        )


def _from_header(path: Path, key: str, text: str) -> Any:  # noqa: ANN401 - JSON
    if key.startswith("format"):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ArtifactError(f"the header's {key} is not JSON", where=path) from error


def expect_finite(path: Path, name: str, tensor: "Tensor") -> None:
    """Raise ArtifactError if a tensor holds a number that is not finite."""
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        bad = (~tensor.reshape(len(tensor) if tensor.dim() else 1, -1).isfinite()).any(dim=1)
        row = int(bad.nonzero()[0])
        raise ArtifactError(
            f"{name} holds a number that is not finite, first in row {row}",
            where=path,
            mend="Repair the source and make the file again.",
        )
