"""Tests for pipelines.classifiers.torchvision. Nothing is downloaded."""

from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torchvision import models

from pipelines.classifiers.sources import read_source
from pipelines.errors import ArtifactError, ConfigError

SOURCE = "torchvision:squeezenet1_1"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    """Point torch's cache at an empty folder and return that of its checkpoints."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path)
    yield tmp_path / "checkpoints"
    torch.hub.set_dir(before)


def test_reads_cached_weights(hub: Path) -> None:
    """Weights in the cache are used, with the categories that torchvision publishes."""
    hub.mkdir()
    weights = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    state_dict = models.squeezenet1_1().state_dict()
    torch.save(state_dict, hub / Path(weights.url).name)

    source = read_source(f"{SOURCE}@IMAGENET1K_V1")

    assert torch.equal(source.tensors["classifier.1.weight"], state_dict["classifier.1.weight"])
    assert source.files == (hub / Path(weights.url).name,)
    assert source.categories[0] == "tench"


def test_failed_download_says_where_to_put_the_file(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network the error names the address and the place in the cache."""

    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(ArtifactError, match="cannot be downloaded") as caught:
        read_source(SOURCE)
    assert str(hub) in str(caught.value)
    assert "download.pytorch.org" in str(caught.value)


def test_damaged_cache_is_named(hub: Path) -> None:
    """A damaged file in the cache is named, so that it can be deleted."""
    hub.mkdir()
    path = hub / Path(models.SqueezeNet1_1_Weights.DEFAULT.url).name
    path.write_bytes(b"PK\3\4 cut")
    with pytest.raises(ArtifactError, match="not the published weights") as caught:
        read_source(SOURCE)
    assert caught.value.where == str(path)


def test_unknown_names_get_suggestions() -> None:
    """A wrong model names the nearest one, wrong weights the ones that exist."""
    with pytest.raises(ConfigError, match="Did you mean 'resnet50'"):
        read_source("torchvision:resnet5O")
    with pytest.raises(ConfigError, match="Known are IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT"):
        read_source("torchvision:resnet50@V3")


def test_published_categories_can_be_ids() -> None:
    """Categories name the classes one by one, in all of torchvision's classifiers."""
    for name in models.list_models(module=models):
        for weights in models.get_model_weights(name):
            categories = weights.meta["categories"] or ()
            assert len(set(categories)) == len(categories), weights


def test_detectors_are_not_classifiers() -> None:
    """Only torchvision's classification models are sources."""
    with pytest.raises(ConfigError, match="no classifier 'fasterrcnn_resnet50_fpn'"):
        read_source("torchvision:fasterrcnn_resnet50_fpn")
