"""Tests for pipelines.data.array_file: the safetensors library and this module agree."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipelines.data.array_file import map_arrays, starts_as_array_file, write_arrays
from pipelines.errors import ArtifactError
from pipelines.storage import read_header

DTYPES = (np.bool_, np.uint8, np.uint16, np.uint32, np.int32, np.int64, np.float64)
any_array = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_dims=2, min_side=0, max_side=9))
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that is written again and again."""
    return tmp_path_factory.mktemp("arrays") / "file"


@given(st.dictionaries(st.text(min_size=1, max_size=5), any_array, max_size=5), st.booleans())
def test_the_library_reads_the_same_arrays(
    path: Path, written: dict[str, np.ndarray], by_column: bool
) -> None:
    """Bit for bit, whatever the order in memory; and so does this module."""
    laid_out = {n: np.asfortranarray(a) if by_column else a for n, a in written.items()}

    write_arrays(path, "wtn.test", laid_out, {"fact": ["ä", 1]}, {"tool": "t"})

    with safe_open(path, framework="numpy") as file:
        theirs = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    ours = map_arrays(path)
    assert theirs.keys() == ours.keys() == written.keys()
    for name, array in written.items():
        for found in (theirs[name], ours[name]):
            assert (found.dtype, found.shape) == (array.dtype, array.shape)
            assert found.tobytes() == np.ascontiguousarray(array).tobytes()
        assert ours[name].ctypes.data % array.itemsize == 0
    header = read_header(path)
    assert (header["format"], header["fact"]) == ("wtn.test", ["ä", 1])


def test_torch_takes_a_mapped_array_without_a_word(path: Path) -> None:
    """The arrays may be written to, which torch asks for, but the file stays as it is."""
    write_arrays(path, "wtn.test", {"a": np.arange(5)}, {}, {})

    tensor = torch.from_numpy(map_arrays(path)["a"])
    tensor[0] = 7

    assert load_file(path)["a"].tolist() == [0, 1, 2, 3, 4]


def test_other_kinds_of_numbers_are_refused(path: Path) -> None:
    """A safetensors file of another program is an error, not a crash."""
    save_file({"a": torch.zeros(3, dtype=torch.bfloat16)}, path)

    with pytest.raises(ArtifactError, match="'BF16'"):
        map_arrays(path)


@pytest.mark.parametrize("content", [b"", b"ImageID,", b"ImageID,{", b"\0" * 20])
def test_a_text_does_not_start_as_an_array_file(tmp_path: Path, content: bytes) -> None:
    """Eight letters, read as a number, are far more than a header is long."""
    path = tmp_path / "file"
    path.write_bytes(content)

    assert not starts_as_array_file(path)
