"""Small ground truth for the benchmarks, and measurements that start no process."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from pipelines.benchmarks import evaluation, fresh_process, inference, official_comparison, train
from pipelines.benchmarks import official_evaluators as official
from pipelines.data.annotations import BoxTable
from pipelines.data.open_images import read_boxes
from pipelines.data.synthetic import write_synthetic_boxes


@pytest.fixture(scope="module", autouse=True)
def _threads_as_before() -> Iterator[None]:
    """Let no benchmark that runs in this process leave other tests its number of threads."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def drawn_truth(tmp_path_factory: pytest.TempPathFactory) -> BoxTable:
    """Return 400 boxes of 7 classes in 150 images."""
    path = tmp_path_factory.mktemp("truth") / "boxes.csv"
    write_synthetic_boxes(path, [f"/m/{number}" for number in range(7)], rows=400, images=150)
    return read_boxes(path)


@pytest.fixture
def same_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in this process: a new one takes seconds to import torch."""

    def measure(
        function: Callable[..., Any], *arguments: object, warm_up: tuple[object, ...] | None = None
    ) -> fresh_process.Measured[Any]:
        return fresh_process._measure_here(function, arguments, warm_up)

    for module in (evaluation, inference, official_comparison, official, train):
        monkeypatch.setattr(module, "measure", measure)
