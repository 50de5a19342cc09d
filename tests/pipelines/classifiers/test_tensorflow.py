"""Tests for pipelines.classifiers.tensorflow. Checkpoints come from the writer in conftest."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.classifiers.sources import read_source
from pipelines.classifiers.tensorflow import checkpoint_prefix, read_checkpoint
from pipelines.errors import ArtifactError

WriteBundle = Callable[..., Path]
D, K = 6, 5


@pytest.fixture
def variables() -> dict[str, np.ndarray]:
    """Return slim's final layer among enough other variables to fill several blocks."""
    rng = np.random.default_rng(0)
    body = {
        f"resnet/block{i}/unit_{j}/conv/weights": rng.normal(size=(3, 3, 2, 2)).astype("float32")
        for i in range(1, 4)
        for j in range(1, 8)
    }
    return body | {
        "resnet/logits/weights": rng.normal(size=(1, 1, D, K)).astype("float32"),
        "resnet/logits/biases": rng.normal(size=K).astype("float32"),
        "global_step": np.array(620_000),
    }


@pytest.mark.parametrize("num_shards", [1, 3])
@pytest.mark.parametrize("block_entries", [1, 7, 100])
def test_reads_every_bit_of_every_shard(
    write_bundle: WriteBundle,
    variables: dict[str, np.ndarray],
    num_shards: int,
    block_entries: int,
) -> None:
    """Any number of shards and blocks, with shared key prefixes, gives back what was written."""
    prefix = write_bundle(variables, num_shards=num_shards, block_entries=block_entries)

    tensors = read_checkpoint(prefix)

    del variables["global_step"]
    assert tensors.keys() == variables.keys()
    for name, array in variables.items():
        np.testing.assert_array_equal(tensors[name].numpy(), array)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64"])
def test_reads_numeric_dtypes(write_bundle: WriteBundle, dtype: str) -> None:
    """A variable keeps its dtype and shape, scalars and empty ones included."""
    arrays = {"a": np.arange(6, dtype=dtype).reshape(2, 3), "b": np.array(7, dtype=dtype)}

    tensors = read_checkpoint(write_bundle(arrays | {"c": np.zeros((0, 4), dtype)}))

    for name, array in arrays.items():
        np.testing.assert_array_equal(tensors[name].numpy(), array)
    assert tensors["c"].shape == (0, 4)
    assert tensors["c"].dtype == tensors["a"].dtype


def test_reads_bfloat16(write_bundle: WriteBundle) -> None:
    """The 16-bit brain format, which numpy lacks, is read too."""
    halves = np.array([0x3F80, 0xC000], np.uint16).view(np.float16)  # 1 and -2 as bfloat16

    tensors = read_checkpoint(write_bundle({"x": halves}, bfloat16=("x",)))

    assert tensors["x"].dtype == torch.bfloat16
    assert tensors["x"].tolist() == [1.0, -2.0]


def test_optimizer_state_is_left_out(
    write_bundle: WriteBundle, variables: dict[str, np.ndarray]
) -> None:
    """Slots have the shape of their variable but are not weights."""
    weights = variables["resnet/logits/weights"]
    slots = {
        f"resnet/logits/weights/{slot}": weights + 1
        for slot in ("RMSProp", "RMSProp_1", "Momentum", "Adam", "Adam_1")
    } | {"beta1_power": np.float32(0.9).reshape(())}

    tensors = read_checkpoint(write_bundle(variables | slots))

    assert tensors.keys() == variables.keys() - {"global_step"}


def test_moving_averages_form_layers_of_their_own(write_bundle: WriteBundle) -> None:
    """An averaged layer can be named beside the plain one."""
    names = ("logits/weights", "logits/biases")
    arrays = {name: np.zeros((2, 2), np.float32) for name in names}
    averages = {f"{name}/ExponentialMovingAverage": array + 1 for name, array in arrays.items()}

    tensors = read_checkpoint(write_bundle(arrays | averages))

    assert tensors["logits/ExponentialMovingAverage/weights"].min() == 1
    assert tensors["logits/weights"].max() == 0
    assert len(tensors) == 4


def test_object_based_names_lose_their_suffix(write_bundle: WriteBundle) -> None:
    """TensorFlow 2's object graph names end in an attribute path that is no part of the name."""
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    kernel = np.zeros((D, K), np.float32)
    slot = "layer/kernel/.OPTIMIZER_SLOT/optimizer/m"

    tensors = read_checkpoint(
        write_bundle({f"layer/kernel{suffix}": kernel, slot + suffix: kernel})
    )

    assert list(tensors) == ["layer/kernel"]


@pytest.mark.parametrize("name", ["", ".index", ".data-00000-of-00002"])
def test_any_file_of_a_checkpoint_names_it(write_bundle: WriteBundle, name: str) -> None:
    """The prefix and each of the files lead to the same checkpoint."""
    prefix = write_bundle({"x": np.zeros(2, np.float32)}, num_shards=2)
    assert checkpoint_prefix(Path(f"{prefix}{name}")) == prefix


def test_saved_model_folder_is_a_checkpoint(write_bundle: WriteBundle, tmp_path: Path) -> None:
    """A SavedModel keeps its bundle in variables/."""
    prefix = write_bundle({"x": np.zeros(2, np.float32)})
    folder = tmp_path / "saved_model" / "variables"
    folder.mkdir(parents=True)
    for file in tmp_path.glob("model.ckpt.*"):
        file.rename(folder / file.name.replace(prefix.name, "variables"))
    assert list(read_source(str(folder.parent)).tensors) == ["x"]


def test_missing_shard_is_named(write_bundle: WriteBundle) -> None:
    """An incomplete copy names the file that lacks."""
    prefix = write_bundle({"a": np.zeros(2), "b": np.zeros(2)}, num_shards=2)
    shard = Path(f"{prefix}.data-00001-of-00002")
    shard.unlink()
    with pytest.raises(ArtifactError, match="no such file, though the checkpoint has 2") as caught:
        read_checkpoint(prefix)
    assert caught.value.where == str(shard)


def test_truncated_shard_is_refused(write_bundle: WriteBundle) -> None:
    """A shard that ends early names the variable."""
    prefix = write_bundle({"a": np.zeros(8)})
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="'a' is truncated"):
        read_checkpoint(prefix)


def test_flipped_bit_is_refused(write_bundle: WriteBundle) -> None:
    """The checksum guards the numbers."""
    prefix = write_bundle({"a": np.zeros(8)})
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.write_bytes(b"\1" + shard.read_bytes()[1:])
    with pytest.raises(ArtifactError, match=r"'a' is corrupt \(checksum\)"):
        read_checkpoint(prefix)


@pytest.mark.parametrize(
    ("first", "last", "problem"), [(0, -9, "footer"), (1, None, "corrupt"), (0, 0, "footer")]
)
def test_damaged_index_is_refused(
    write_bundle: WriteBundle, first: int, last: int | None, problem: str
) -> None:
    """An index cut at either end is an ArtifactError, never a traceback."""
    prefix = write_bundle({"a": np.zeros(8)})
    index = Path(f"{prefix}.index")
    index.write_bytes(index.read_bytes()[first:last])
    with pytest.raises(ArtifactError, match=problem):
        read_checkpoint(prefix)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"compression": 1}, "compressed \\(snappy\\)"),
        ({"endianness": 1}, "big-endian"),
        ({"partitioned": ("a",)}, "'a' is partitioned"),
    ],
)
def test_unsupported_checkpoints_say_why(
    write_bundle: WriteBundle, options: dict[str, object], problem: str
) -> None:
    """What the reader cannot do is refused by name."""
    with pytest.raises(ArtifactError, match=problem):
        read_checkpoint(write_bundle({"a": np.zeros(8)}, **options))


def test_v1_checkpoint_is_refused(write_bundle: WriteBundle, tmp_path: Path) -> None:
    """The old single-file format shares the container; it is recognised, not misread."""
    prefix = write_bundle({"a": np.zeros(8)})
    v1 = tmp_path / "old.ckpt"
    v1.write_bytes(Path(f"{prefix}.index").read_bytes())
    with pytest.raises(ArtifactError, match="V1 checkpoint"):
        read_source(str(v1))


def test_folder_without_one_checkpoint_is_refused(tmp_path: Path) -> None:
    """A folder stands for a checkpoint only if it holds exactly one."""
    with pytest.raises(ArtifactError, match="exactly one TensorFlow checkpoint"):
        read_source(str(tmp_path))


@pytest.mark.real_data
def test_reads_what_tensorflow_wrote(real_data: Path) -> None:
    """A checkpoint written by TensorFlow itself is read bit by bit."""
    folder = real_data / "classifiers" / "tf-slim-small"
    expected = np.load(folder / "expected.npz")

    tensors = read_source(str(folder)).tensors

    weights = tensors["resnet_v1_101/logits/weights"].numpy()
    np.testing.assert_array_equal(weights[0, 0].T, expected["weight"])
    np.testing.assert_array_equal(tensors["resnet_v1_101/logits/biases"], expected["bias"])
    assert "global_step" not in tensors
