"""Tests for pipelines.extract."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.artifacts import ClassifierWeights
from pipelines.errors import ArtifactError, ConfigError, DatasetError, MismatchError, WTNError
from pipelines.extract import extract_weights
from pipelines.provenance import sha256

K, D = 3, 4


@pytest.fixture
def state_dict() -> dict[str, Tensor]:
    """Return a body and a final layer."""
    torch.manual_seed(0)
    return {
        "conv.weight": torch.randn(D, 3, 3, 3),
        "fc.weight": torch.randn(K, D),
        "fc.bias": torch.randn(K),
    }


@pytest.fixture
def source(tmp_path: Path, state_dict: dict[str, Tensor]) -> Path:
    """Return the classifier as a file."""
    save_file(state_dict, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Return a class list that fits."""
    path = tmp_path / "classes.csv"
    path.write_text("/m/1,Cat\n/m/2,Dog\n/m/3,Emu\n")
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return a path in a folder of its own."""
    return tmp_path / "out" / "classifier.safetensors"


def _extract_rows(folder: Path, rows: Tensor, name: str = "rows") -> Path:
    """Extract a bare matrix and return the file made."""
    np.save(folder / f"{name}.npy", rows.numpy())
    extract_weights(str(folder / f"{name}.npy"), folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def test_writes_rows_classes_and_origin(
    source: Path, classes: Path, output: Path, state_dict: dict[str, Tensor]
) -> None:
    """The artifact holds the layer's numbers unchanged, the classes, and where both came from."""
    extract_weights(str(source), output, classes=classes)

    weights = ClassifierWeights.load(output)
    assert torch.equal(weights.weight, state_dict["fc.weight"])
    assert weights.bias is not None
    assert torch.equal(weights.bias, state_dict["fc.bias"])
    assert weights.vocabulary.ids == ("/m/1", "/m/2", "/m/3")
    assert weights.vocabulary.names == ("Cat", "Dog", "Emu")
    assert weights.provenance["layer"] == "fc"
    assert [(p["role"], p["sha256"]) for p in weights.provenance["parents"]] == [
        ("classifier", sha256(source)),
        ("classes", sha256(classes)),
    ]


def test_report_describes_the_layer(
    source: Path, classes: Path, output: Path, state_dict: dict[str, Tensor]
) -> None:
    """The report gives K, d, the row norms, the choice and the source's hash."""
    report = extract_weights(str(source), output, classes=classes)

    norms = state_dict["fc.weight"].double().norm(dim=1)
    assert (report.layer, report.num_classes, report.width, report.has_bias) == ("fc", K, D, True)
    assert report.source_files == {source.name: sha256(source)}
    assert report.classes == str(classes)
    assert "as many classes as the class list" in report.reason
    assert report.row_norms.median == pytest.approx(float(norms.median()))
    assert report.row_norms.spread == pytest.approx(float(norms.max() / norms.min()))


def test_zero_row_has_no_spread(tmp_path: Path) -> None:
    """A row of zeros is extracted; the spread is undefined, not a division by zero."""
    np.save(tmp_path / "rows.npy", np.diag([1.0, 0.0]))
    report = extract_weights(str(tmp_path / "rows.npy"), tmp_path / "c.safetensors")
    assert (report.row_norms.minimum, report.row_norms.spread) == (0.0, None)


def test_classes_are_numbered_without_a_list(source: Path, output: Path) -> None:
    """Without a class list the rows are numbered, and the report says so."""
    report = extract_weights(str(source), output)
    assert ClassifierWeights.load(output).vocabulary.ids == ("class-0", "class-1", "class-2")
    assert report.classes.startswith("row numbers")


def test_feature_space_is_the_body(
    tmp_path: Path, source: Path, output: Path, state_dict: dict[str, Tensor]
) -> None:
    """Another final layer on the same body shares its features; another body does not."""
    same = state_dict | {"fc.weight": torch.randn(9, D), "fc.bias": torch.randn(9)}
    torch.save({"state_dict": {f"module.{n}": t for n, t in same.items()}}, tmp_path / "same.pth")
    torch.save(state_dict | {"conv.weight": torch.randn(D, 3, 3, 3)}, tmp_path / "other.pth")

    first, second, third = (
        extract_weights(str(path), output).feature_space
        for path in (source, tmp_path / "same.pth", tmp_path / "other.pth")
    )

    assert first == second
    assert first != third
    assert first.startswith("body:")


def test_feature_space_of_a_matrix_is_itself_unless_declared(tmp_path: Path) -> None:
    """Bare rows share features with nothing, except where the user says so."""
    first = ClassifierWeights.load(_extract_rows(tmp_path, torch.randn(K, D), "first"))
    second = ClassifierWeights.load(_extract_rows(tmp_path, torch.randn(K, D), "second"))
    assert first.feature_space.startswith("rows:")
    assert first.feature_space != second.feature_space

    report = extract_weights(
        str(tmp_path / "second.npy"),
        tmp_path / "third.safetensors",
        feature_space_of=tmp_path / "first.safetensors",
    )

    assert report.feature_space == first.feature_space


def test_declared_feature_space_must_be_as_wide(tmp_path: Path, source: Path, output: Path) -> None:
    """Rows of another width cannot act on the same features."""
    other = _extract_rows(tmp_path, torch.randn(K, D + 1))
    with pytest.raises(MismatchError, match="act on 5 features, these on 4"):
        extract_weights(str(source), output, feature_space_of=other)
    assert not output.exists()


@pytest.mark.parametrize(
    ("name", "value"), [("fc.weight", float("nan")), ("fc.bias", float("inf"))]
)
def test_non_finite_rows_are_named(
    tmp_path: Path,
    state_dict: dict[str, Tensor],
    classes: Path,
    output: Path,
    name: str,
    value: float,
) -> None:
    """A number that is not finite is refused with its tensor, row and class."""
    state_dict[name][1] = value
    torch.save(state_dict, tmp_path / "bad.pth")

    with pytest.raises(ArtifactError, match=r"row 1 \(class '/m/2', Dog\).*1 of 3 rows") as caught:
        extract_weights(str(tmp_path / "bad.pth"), output, classes=classes)

    assert caught.value.where == f"{tmp_path / 'bad.pth'}:{name}"
    assert not output.parent.exists()


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("/m/1\n/m/2\n", MismatchError, "2 classes are listed, but layer 'fc' has 3"),
        ("/m/1\n/m/2\n/m/1\n", DatasetError, "'/m/1' is repeated"),
        ("LabelName,Size\n/m/1,2\n", DatasetError, "DisplayName is missing"),
    ],
)
def test_wrong_class_lists_leave_no_file(
    source: Path, classes: Path, output: Path, text: str, kind: type[WTNError], problem: str
) -> None:
    """A list that does not fit is refused before anything is written."""
    classes.write_text(text)
    with pytest.raises(kind, match=problem) as caught:
        extract_weights(str(source), output, classes=classes)
    assert str(classes) in str(caught.value)
    assert not output.parent.exists()


def test_failure_keeps_the_previous_file(source: Path, output: Path) -> None:
    """A second run that fails leaves the first run's file as it was."""
    extract_weights(str(source), output)
    before = sha256(output)
    with pytest.raises(MismatchError, match="Did you mean 'fc'"):
        extract_weights(str(source), output, layer="fcc")
    assert sha256(output) == before
    assert list(output.parent.iterdir()) == [output]


def test_names_need_ids(source: Path, classes: Path, output: Path) -> None:
    """Names alone do not say which row is which."""
    with pytest.raises(ConfigError, match="names were given without a class list"):
        extract_weights(str(source), output, class_names=classes)


def test_integers_are_not_weights(tmp_path: Path, output: Path) -> None:
    """A matrix of integers is an index table, not a final layer."""
    np.save(tmp_path / "indices.npy", np.zeros((K, D), np.int64))
    with pytest.raises(ArtifactError, match="no floating-point tensor"):
        extract_weights(str(tmp_path / "indices.npy"), output)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Return word vectors that know two of the three class names."""
    path = tmp_path / "words.vec"
    path.write_text("3 4\nthe 9 9 9 9\ncat 1 2 3 4\nemu 0 0 3 4\n")
    return path


def test_word_vectors_become_rows(words: Path, output: Path, tmp_path: Path) -> None:
    """The rows follow the class list, have no bias and length 1, and name their file."""
    (tmp_path / "classes.csv").write_text("LabelName,DisplayName\n/m/3,Emu\n/m/1,The cat\n")

    report = extract_weights(str(words), output, classes=tmp_path / "classes.csv")

    weights = ClassifierWeights.load(output)
    assert weights.vocabulary.ids == ("/m/3", "/m/1")
    assert weights.bias is None
    mean = torch.tensor([10.0, 11.0, 12.0, 13.0])
    torch.testing.assert_close(
        weights.weight, torch.stack([torch.tensor([0, 0, 0.6, 0.8]), mean / mean.norm()])
    )
    assert report.source_files == {"words.vec": sha256(words)}
    assert report.feature_space.startswith("rows:")
    assert report.lookup is not None
    assert report.lookup.without_vector == ()


def test_bin_files_are_told_apart(tmp_path: Path, output: Path) -> None:
    """A file named .bin is fastText's or PyTorch's, by its first bytes."""
    (tmp_path / "broken.bin").write_bytes(b"\xba\x16\x4f\x2f\x0c\0\0\0")
    with pytest.raises(ArtifactError, match="not a complete fastText model"):
        extract_weights(str(tmp_path / "broken.bin"), output)
    torch.save({"weight": torch.ones(K, D)}, tmp_path / "pytorch_model.bin")
    assert extract_weights(str(tmp_path / "pytorch_model.bin"), output).num_classes == K


def test_classes_without_a_word_vector_are_named(words: Path, classes: Path, output: Path) -> None:
    """They are refused with their number, id, name and line, and a way out."""
    with pytest.raises(MismatchError, match=r"1 of 3 classes .* vector: /m/2 \(Dog\)\n") as caught:
        extract_weights(str(words), output, classes=classes)
    assert caught.value.where == f"{classes}:2"
    assert "--missing skip" in str(caught.value)
    assert not output.parent.exists()


def test_classes_without_a_word_vector_can_be_skipped(
    words: Path, classes: Path, output: Path
) -> None:
    """What is left keeps its order; as many classes as features do not turn the matrix round."""
    classes.write_text(classes.read_text() + "/m/4,Gnu\n")  # 4 listed, d = 4, 2 kept
    report = extract_weights(str(words), output, classes=classes, missing="skip")
    assert ClassifierWeights.load(output).vocabulary.ids == ("/m/1", "/m/3")
    assert (report.num_classes, report.width) == (2, 4)
    assert report.lookup is not None
    assert report.lookup.without_vector == ("/m/2", "/m/4")


def test_word_vectors_need_names(words: Path, classes: Path, output: Path) -> None:
    """Without a class list, or with one of ids only, there is nothing to look up."""
    with pytest.raises(ConfigError, match="word vectors need a class list"):
        extract_weights(str(words), output)
    classes.write_text("/m/1\n/m/3\n")
    with pytest.raises(MismatchError, match="none of the 2 class names"):
        extract_weights(str(words), output, classes=classes)


def test_skipping_is_for_word_vectors(source: Path, classes: Path, output: Path) -> None:
    """An option that would do nothing is refused."""
    with pytest.raises(ConfigError, match="--missing skip is for word vectors"):
        extract_weights(str(source), output, classes=classes, missing="skip")


def test_matrix_can_bring_its_ids(tmp_path: Path, classes: Path, output: Path) -> None:
    """Text ids beside the rows of an .npz file are its classes, and fix a list's order."""
    path = tmp_path / "rows.npz"
    np.savez(path, weight=np.eye(K, D), ids=np.array(["/m/3", "/m/1", "/m/2"]))

    extract_weights(str(path), output)

    assert ClassifierWeights.load(output).vocabulary.ids == ("/m/3", "/m/1", "/m/2")
    with pytest.raises(MismatchError, match="row 0 is class '/m/3' in the source and '/m/1' in"):
        extract_weights(str(path), output, classes=classes)
    np.savez(path, weight=np.eye(K, D), ids=np.array(["/m/1", "/m/2", "/m/3"]))
    extract_weights(str(path), output, classes=classes)
    assert ClassifierWeights.load(output).vocabulary.names == ("Cat", "Dog", "Emu")


@pytest.mark.parametrize("ids", [np.arange(K), np.array(["a", "b", "c"], object)])
def test_ids_that_are_no_text_are_not_classes(tmp_path: Path, output: Path, ids: object) -> None:
    """Numbers and pickled objects named ids are left alone, and the rows are numbered."""
    np.savez(tmp_path / "rows.npz", weight=np.eye(K, D), ids=ids)
    report = extract_weights(str(tmp_path / "rows.npz"), output)
    assert report.classes.startswith("row numbers")


@pytest.mark.real_data
def test_extracts_the_real_classifiers(real_data: Path, output: Path) -> None:
    """A torchvision layout, a TensorFlow checkpoint and a matrix need no more than their path."""
    folder = real_data / "classifiers"
    mobilenet = extract_weights(
        str(folder / "mobilenet_v2_imagenet1k.safetensors"),
        output,
        classes=folder / "imagenet1k-classes.csv",
    )
    matrix = extract_weights(str(real_data / "open-images" / "oid_clip_a+cname.npy"), output)
    slim = extract_weights(str(folder / "tf-slim-small" / "resnet_v1_101.ckpt"), output)

    reports = (mobilenet, matrix, slim)
    assert [(r.layer, r.num_classes, r.width) for r in reports] == [
        ("classifier.1", 1000, 1280),
        ("weight", 500, 512),
        ("resnet_v1_101/logits", 500, 96),
    ]
    expected = np.load(folder / "tf-slim-small" / "expected.npz")
    weights = ClassifierWeights.load(output)
    np.testing.assert_array_equal(weights.weight.numpy(), expected["weight"])
    np.testing.assert_array_equal(weights.bias, expected["bias"])


@pytest.mark.real_data
def test_open_images_classes_do_not_fit_imagenet(real_data: Path, output: Path) -> None:
    """The 7,186 trainable classes are refused for a classifier of 1,000."""
    lists = real_data / "open-images"
    with pytest.raises(MismatchError, match=r"7186 classes are listed, but .* has 1000"):
        extract_weights(
            str(real_data / "classifiers" / "mobilenet_v2_imagenet1k.safetensors"),
            output,
            classes=lists / "classes-trainable-v4.txt",
            class_names=lists / "class-descriptions.csv",
        )
