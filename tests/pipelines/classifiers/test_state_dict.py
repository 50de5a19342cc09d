"""Tests for pipelines.classifiers.state_dict."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.artifacts import ClassifierWeights
from pipelines.classifiers.sources import read_source
from pipelines.classifiers.state_dict import read_tensors
from pipelines.errors import ArtifactError
from pipelines.vocabulary import Vocabulary


@pytest.fixture
def state_dict() -> dict[str, Tensor]:
    """Return a small body and final layer."""
    torch.manual_seed(0)
    return {"conv.weight": torch.randn(4, 3, 1, 1), "fc.weight": torch.randn(5, 4)}


def _write(path: Path, state_dict: dict[str, Tensor]) -> Path:
    match path.suffix:
        case ".safetensors":
            save_file(state_dict, path)
        case ".npz":
            np.savez(path, **{name: tensor.numpy() for name, tensor in state_dict.items()})
        case _:
            torch.save(state_dict, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".npz"])
def test_every_format_gives_the_same_tensors(
    tmp_path: Path, state_dict: dict[str, Tensor], suffix: str
) -> None:
    """Names and numbers do not depend on the kind of file."""
    tensors = read_tensors(_write(tmp_path / f"model{suffix}", state_dict))

    assert tensors.keys() == state_dict.keys()
    assert all(torch.equal(tensors[name], state_dict[name]) for name in state_dict)


def test_bare_matrices_are_named_weight(tmp_path: Path) -> None:
    """A file that holds one matrix and no names gives it one."""
    matrix = torch.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "rows.npy", matrix.numpy())
    torch.save(matrix, tmp_path / "rows.pt")
    for name in ("rows.npy", "rows.pt"):
        tensors = read_tensors(tmp_path / name)
        assert list(tensors) == ["weight"]
        assert torch.equal(tensors["weight"], matrix)


@pytest.mark.parametrize("nesting", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_wrappers_are_removed(
    tmp_path: Path, state_dict: dict[str, Tensor], nesting: str, prefix: str
) -> None:
    """Training wrappers do not show in the names, so one body has one fingerprint."""
    wrapped = {prefix + name: tensor for name, tensor in state_dict.items()}
    torch.save({"epoch": 3, nesting: wrapped}, tmp_path / "checkpoint.pth")
    assert read_tensors(tmp_path / "checkpoint.pth").keys() == state_dict.keys()


def test_prefix_of_some_names_only_stays(tmp_path: Path) -> None:
    """A prefix that tells tensors apart is part of their names."""
    names = {"model.fc.weight", "fc.weight"}
    torch.save({name: torch.ones(2, 2) for name in names}, tmp_path / "m.pth")
    assert read_tensors(tmp_path / "m.pth").keys() == names


def test_pickled_objects_are_refused_by_name(tmp_path: Path, state_dict: dict[str, Tensor]) -> None:
    """A pickle with anything besides weights is not loaded; the error names the object."""
    path = tmp_path / "run.pth"
    torch.save({"state_dict": state_dict, "args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(ArtifactError, match=r"argparse\.Namespace\).*could run code") as caught:
        read_tensors(path)
    assert "torch.save(model.state_dict(), FILE)" in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".npz"])
@pytest.mark.parametrize("kept", [0, 10, 0.5])
def test_truncated_files_are_refused(
    tmp_path: Path, state_dict: dict[str, Tensor], suffix: str, kept: float
) -> None:
    """A file that ends early, even at once, is an ArtifactError that says so."""
    path = _write(tmp_path / f"model{suffix}", state_dict)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(ArtifactError, match="not a complete"):
        read_tensors(path)


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    """NumPy files can pickle objects too; these are not loaded either."""
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="numeric NumPy arrays"):
        read_tensors(tmp_path / "objects.npy")


def test_what_is_not_numeric_in_an_archive_is_left_out(tmp_path: Path) -> None:
    """Class names beside the rows, as text or as objects, do not hinder reading the rows."""
    names = np.array(["cat", "dog"])
    np.savez(tmp_path / "m.npz", weight=np.eye(2), names=names, objects=names.astype(object))
    assert list(read_tensors(tmp_path / "m.npz")) == ["weight"]


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_big_endian_arrays_are_converted(tmp_path: Path, suffix: str) -> None:
    """The numbers count, not their byte order."""
    rows = np.arange(6, dtype=">f4").reshape(2, 3)
    path = tmp_path / f"rows{suffix}"
    if suffix == ".npy":
        np.save(path, rows)
    else:
        np.savez(path, weight=rows)
    assert read_tensors(path)["weight"].tolist() == rows.tolist()


@pytest.mark.parametrize("suffix", [".PTH", ".Npz", ".SafeTensors"])
def test_suffixes_may_be_in_capitals(
    tmp_path: Path, state_dict: dict[str, Tensor], suffix: str
) -> None:
    """How a file's kind is written does not change it."""
    written = _write(tmp_path / f"model{suffix.lower()}", state_dict)
    assert read_tensors(written.rename(tmp_path / f"model{suffix}")).keys() == state_dict.keys()


def test_folder_is_not_a_file(tmp_path: Path) -> None:
    """A folder is said to be one, whatever its name."""
    (tmp_path / "model.pth").mkdir()
    for read in (read_tensors, lambda path: read_source(str(path))):
        with pytest.raises(ArtifactError, match="a folder, not a file"):
            read(tmp_path / "model.pth")


@pytest.mark.filterwarnings("ignore:Validating sparse tensor:UserWarning")
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # of torch 2.11
def test_sparse_tensors_are_refused(tmp_path: Path, state_dict: dict[str, Tensor]) -> None:
    """A tensor that does not hold its numbers one by one is named."""
    torch.save(state_dict | {"fc.mask": torch.eye(3).to_sparse()}, tmp_path / "m.pth")
    with pytest.raises(ArtifactError, match=r"tensor 'fc\.mask' is sparse"):
        read_tensors(tmp_path / "m.pth")


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor\n(NNNNtR.",
        b"\x80\x02}]K\x01s.",
    ],
    ids=["no mapping", "no storage", "unhashable name"],
)
def test_damaged_pickles_are_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever reading it raises, the user is told that the file is not whole."""
    (tmp_path / "m.pth").write_bytes(content)
    with pytest.raises(ArtifactError, match="not a complete PyTorch file"):
        read_tensors(tmp_path / "m.pth")


def test_missing_unknown_and_empty_files_are_refused(tmp_path: Path) -> None:
    """Each of the three has its own message."""
    with pytest.raises(ArtifactError, match="no such file"):
        read_tensors(tmp_path / "nothing.pth")
    (tmp_path / "model.h5").touch()
    with pytest.raises(ArtifactError, match=r"files named \.h5 are not known"):
        read_tensors(tmp_path / "model.h5")
    torch.save({"epoch": 1}, tmp_path / "epoch.pth")
    with pytest.raises(ArtifactError, match="holds no tensors"):
        read_tensors(tmp_path / "epoch.pth")


def test_own_artifacts_are_not_sources(tmp_path: Path) -> None:
    """Extracting from an extract would silently lose its classes."""
    path = tmp_path / "classifier.safetensors"
    ClassifierWeights(torch.ones(2, 3), None, Vocabulary(("a", "b"), ("a", "b")), "x").save(path)
    with pytest.raises(ArtifactError, match=r"already an artifact of wtn"):
        read_tensors(path)
