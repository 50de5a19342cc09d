"""Tests for pipelines.benchmarks.train and what it is made of."""

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.benchmarks import train as benchmark
from pipelines.benchmarks import train_ablation, train_reference, train_runs, train_setup
from pipelines.benchmarks.train_ablation import contestants
from pipelines.benchmarks.train_limits import (
    judged_methods,
    missed_limits,
    missed_reference,
    paper_ratios,
)
from pipelines.benchmarks.train_models import drawn_detector
from pipelines.benchmarks.train_runs import Contestant, OurTurn
from pipelines.benchmarks.train_setup import METHODS, TrainSetup, setup_for, train_settings
from pipelines.config import TrainSettings
from pipelines.errors import ConfigError

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]

CPU = torch.device("cpu")
TINY = TrainSetup("tiny", 64, 2, 40, 32, 8, "cpu", "float32", 1)
SIZES = {"backbone": "tiny", "size": 64, "classes": 40, "width": 32, "drawn": 8}
LOOP = """
import utils
from coco_eval import CocoEvaluator
from coco_utils import get_coco_api_from_dataset

def train_one_epoch(model, optimizer, data_loader, device, epoch, print_freq, scaler=None):
    print(f"Epoch: [{epoch}]")
    for images, targets in data_loader:
        assert images[0].dtype.is_floating_point and scaler is None
        optimizer.zero_grad()
        sum(model(images, targets).values()).backward()
        optimizer.step()
        utils.steps.append(epoch)
"""


@pytest.fixture
def _few_rois(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on a few RoIs and narrow features, which take milliseconds."""

    def settings_of(setup: TrainSetup, method: str, engine: Mapping[str, object]) -> TrainSettings:
        full = train_settings(setup, method, engine)
        few = {"rois_per_image": 8, "proposals_train": 20}
        return full.model_copy(
            update={
                "detector": full.detector.model_copy(update=few),
                "backbone": full.backbone.model_copy(update={"fpn_channels": 8}),
            }
        )

    for module in (train_runs, train_reference):
        monkeypatch.setattr(module, "train_settings", settings_of)


@pytest.fixture
def _fast_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let weights move."""
    monkeypatch.setattr(train_setup, "_RATE", 1e-3)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder that looks like a checkout of pytorch/vision."""
    folder = tmp_path / "references" / "detection"
    folder.mkdir(parents=True)
    (folder / "engine.py").write_text(LOOP)
    (folder / "utils.py").write_text("steps = []\n")
    return tmp_path


@pytest.mark.usefixtures("same_process", "_few_rois")
def test_all_take_turns(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Methods, variants and the reference loop have their times, and each step is told."""
    told: list[tuple[int, int, str]] = []
    variants = {name: one for name, one in contestants(TINY).items() if name != "with compile"}
    monkeypatch.setattr(benchmark, "contestants", lambda setup: variants)

    found = benchmark.benchmark_train(
        **SIZES,
        runs=2,
        threads=1,
        device="cpu",
        ablation=True,
        reference=checkout,
        on_progress=lambda *step: told.append(step),
    )

    assert list(found.methods) == list(METHODS)
    assert all(len(cost.seconds) == 2 and min(cost.seconds) > 0 for cost in found.methods.values())
    assert found.time_ratio["faster-rcnn"] == found.memory_ratio["faster-rcnn"] == 1.0
    peaks = {method: cost.peak_memory_bytes for method, cost in found.methods.items()}
    assert peaks["faster-rcnn"] < peaks["wtn"] < peaks["ae-wtn"]
    assert found.memory_ratio["ae-wtn"] == peaks["ae-wtn"] / peaks["faster-rcnn"]
    assert found.reference is not None
    assert list(found.reference.speed_ratio) == ["ours, alike", "faster-rcnn"]
    assert found.ablation is not None
    assert found.ablation["default"].speed_ratio == 1.0
    assert found.ablation.keys() == variants.keys()
    assert (found.skipped, found.missed) == ({}, ())
    assert (found.judged, found.within_limit) == ((), None)
    assert [step[0] for step in told] == list(range(told[-1][1] + 1))


def test_drawing_all_classes_is_no_method_of_its_own(
    wtn: Wtn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no fewer are drawn than there are, that is told and not measured."""
    seconds = dict.fromkeys(METHODS[:-1], 1.0)
    monkeypatch.setattr(benchmark, "_in_turns", lambda *_: [seconds])
    monkeypatch.setattr(benchmark, "_peaks", lambda setup, ours, _: dict.fromkeys(ours, 10**9))

    sizes = ("--classes", 200, "--width", 64, "--device", "cpu")
    printed = json.loads(wtn("benchmark", "train", *sizes).stdout)

    for figures in (printed["methods"], printed["time_ratio"], printed["memory_ratio"]):
        assert list(figures) == ["faster-rcnn", "wtn", "wtn+", "ae-wtn"]
    assert printed["skipped"]["ae-wtn-drawn"] == (
        "256 drawn classes are all of the 200, as in ae-wtn"
    )
    assert replace(TINY, drawn=39).methods == METHODS
    assert replace(TINY, drawn=40).methods == METHODS[:-1]


def test_without_a_compiler_the_variant_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found out before anything is measured, which would be thrown away."""

    def none(device: torch.device) -> None:
        raise ConfigError("torch.compile does not work here (no compiler)")

    monkeypatch.setattr(train_ablation, "refuse_without_compiler", none)

    assert train_ablation.reasons_to_skip(TINY, contestants(TINY)) == {
        "with compile": "torch.compile does not work here (no compiler)"
    }
    assert train_ablation.reasons_to_skip(TINY, {}) == {}


@pytest.mark.parametrize("size", [("--size", 64), ("--width", 32)])
def test_sizes_at_which_nothing_can_be_normalised_are_refused(
    wtn: Wtn, size: tuple[str, int]
) -> None:
    """As wrong usage, and not as a defect after the warm-up."""
    ended = wtn("benchmark", "train", *size)

    assert ended.returncode == 2
    assert "greater than or equal to" in ended.stderr


def test_sizes_follow_the_device() -> None:
    """On a GPU the paper's, on a CPU less; what is given stays."""
    nothing = dict.fromkeys(("backbone", "size", "classes", "width")) | {"images": 2}

    on_gpu = setup_for(torch.device("cuda"), "float32", 2, 256, nothing)
    on_cpu = setup_for(CPU, "float32", 2, 256, nothing | {"size": 96})

    assert (on_gpu.is_paper_size, on_gpu.detected, on_gpu.seen) == (True, 500, 486)
    assert (on_cpu.is_paper_size, on_cpu.detected, on_cpu.seen) == (False, 100, 97)
    assert (on_cpu.backbone, on_cpu.size, on_gpu.size) == ("resnet18", 96, 800)


def test_a_width_that_no_group_norm_takes_is_refused() -> None:
    """The message tells the multiple."""
    with pytest.raises(ConfigError, match=r"^a width of 40 cannot be normalised in 32 groups"):
        setup_for(CPU, "float32", 1, 8, {"width": 40})


def test_methods_differ_in_their_heads_alone() -> None:
    """All detectors of a run start from the same weights, and so find the same proposals."""
    plain, ours = (
        drawn_detector(TINY, train_settings(TINY, method, {})).state_dict()
        for method in ("faster-rcnn", "ae-wtn-drawn")
    )

    shared = [name for name in plain if not name.startswith("roi_heads.class_head")]
    assert len(shared) > 30
    assert all(torch.equal(plain[name], ours[name]) for name in shared)
    drawn = train_settings(TINY, "ae-wtn-drawn", {}).head
    assert (drawn.method, drawn.reconstructed_count) == ("ae-wtn", 8)


@pytest.mark.usefixtures("_few_rois")
def test_steps_leave_the_weights_as_they_are() -> None:
    """So later steps of a run see the proposals that earlier ones saw; there is a gradient."""
    turn = OurTurn(TINY, Contestant("ae-wtn"))
    before = {name: p.detach().clone() for name, p in turn._model.named_parameters()}

    turn(2)

    moved = [(p - before[name]).abs().max() for name, p in turn._model.named_parameters()]
    assert max(moved) < 1e-7
    momenta = [state["momentum_buffer"] for state in turn._optimizers._all[0].state.values()]
    assert all(bool(momentum.any()) for momentum in momenta)


@pytest.mark.usefixtures("_few_rois", "_fast_rate")
@pytest.mark.parametrize("float_images", [False, True])
def test_a_turn_trains(float_images: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector gets fractions, whichever way images came, and its weights move."""
    seen: list[torch.Tensor] = []
    turn = OurTurn(TINY, Contestant("ae-wtn", float_images=float_images))
    step, weight = turn._step, next(p for p in turn._model.parameters() if p.requires_grad)
    before = weight.detach().clone()

    def watched(iteration: int, images: list[torch.Tensor], targets: list[object]) -> object:
        seen.extend(images)
        return step(iteration, images, targets)

    monkeypatch.setattr(turn, "_step", watched)
    turn(2)

    drawn = train_setup.draw_batch(TINY).pixels
    assert len(seen) == 4
    assert all(torch.equal(a, b) for a, b in zip(seen, drawn * 2, strict=True))
    assert not torch.equal(weight, before)
    assert weight.grad is None


@pytest.mark.usefixtures("_few_rois", "_fast_rate")
def test_the_reference_loop_runs_as_it_is(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its evaluator's modules are not needed, what it prints is not shown, and weights move."""
    turn = train_reference.ReferenceTurn(TINY, checkout)
    weight = next(p for p in turn._model.parameters() if p.requires_grad)
    before = weight.detach().clone()

    turn(3)

    assert turn._train.__globals__["utils"].steps == [1, 1, 1]
    assert not torch.equal(weight, before)
    assert capsys.readouterr().out == ""


def test_what_the_loop_cannot_do_is_skipped_with_a_reason(checkout: Path) -> None:
    """It has no bfloat16; a folder without it is refused."""
    skip = train_reference.reason_to_skip

    assert skip(TINY, checkout) is None
    assert skip(replace(TINY, device="cuda", precision="float16"), checkout) is None
    assert skip(replace(TINY, precision="bfloat16"), checkout) == (
        "its engine.py has no bfloat16 on this device"
    )
    assert "--reference" in str(skip(TINY, None))
    with pytest.raises(ConfigError, match="not a checkout of pytorch/vision"):
        skip(TINY, checkout / "references")


def test_the_papers_ratios_are_its_table_4() -> None:
    """As the paper's text has them: 1.6, 3.8 and 9.9 percent of time."""
    found = paper_ratios()

    assert found["time_ratio"]["wtn"] == pytest.approx(1.016, abs=5e-4)
    assert found["time_ratio"]["wtn+"] == pytest.approx(1.038, abs=5e-4)
    assert found["time_ratio"]["ae-wtn"] == pytest.approx(1.099, abs=5e-4)
    assert found["memory_ratio"]["ae-wtn"] == pytest.approx(1.036, abs=5e-4)


def test_limits_are_judged_on_a_gpu_at_the_papers_size() -> None:
    """AE-WTN must keep both, in full or with drawn classes."""
    paper = TrainSetup("resnet50", 800, 2, 5000, 2048, 256, "cuda", "float32", 2)
    good, bad = {"ae-wtn": 1.1, "ae-wtn-drawn": 1.02}, {"ae-wtn": 1.1, "ae-wtn-drawn": 1.04}

    assert missed_limits(paper, good, good) == ()
    assert missed_limits(paper, good, bad) == (
        "ae-wtn took 1.100 times the time and 1.100 times the memory and ae-wtn-drawn took 1.020 "
        "times the time and 1.040 times the memory of Faster R-CNN, the limits are 1.03 and 1.02",
    )
    few = replace(paper, drawn=5000)
    assert judged_methods(few) == ("ae-wtn",)
    assert missed_limits(few, {"ae-wtn": 1.01}, {"ae-wtn": 1.01}) == ()
    assert missed_limits(few, {"ae-wtn": 1.1}, {"ae-wtn": 1.01}) == (
        "ae-wtn took 1.100 times the time and 1.010 times the memory of Faster R-CNN, the limits "
        "are 1.03 and 1.02",
    )
    assert missed_reference(paper, 1.0) == missed_reference(paper, None) == ()
    assert missed_reference(paper, 0.9) == (
        "training was 0.900 times as fast as torchvision's engine.py, not 1",
    )
    for other in (replace(paper, device="cpu"), replace(paper, size=600)):
        assert missed_limits(other, bad, bad) == missed_reference(other, 0.5) == ()


def test_the_command_prints_the_figures_and_then_what_is_missed(
    wtn: Wtn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a limit the last thing on stdout is still one JSON object; the exit code is 1."""
    seconds = dict(zip(METHODS, (1.0, 1.01, 1.02, 1.2, 1.05), strict=True))
    slow_round = {name: 3 * taken for name, taken in seconds.items()}
    paper = TrainSetup("resnet50", 800, 2, 5000, 2048, 256, "cuda", "float32", 2)
    monkeypatch.setattr(benchmark, "setup_for", lambda *_: paper)
    monkeypatch.setattr(benchmark, "_in_turns", lambda *_: [seconds, slow_round, seconds])
    monkeypatch.setattr(benchmark, "_peaks", lambda *_: dict.fromkeys(METHODS, 10**9))
    monkeypatch.setattr("pipelines.benchmarks.train_result.describe_machine", lambda device: {})

    ended = wtn("benchmark", "train", "--device", "cpu")

    assert ended.returncode == 1
    printed = json.loads(ended.stdout)
    assert printed["time_ratio"]["ae-wtn-drawn"] == pytest.approx(1.05)
    assert printed["methods"]["faster-rcnn"]["images_per_second"] == pytest.approx(2.0)
    assert printed["memory_ratio"] == dict.fromkeys(METHODS, 1.0)
    assert printed["skipped"].keys() == {"engine.py"}
    assert printed["within_limit"] is False
    assert printed["judged"] == ["ae-wtn", "ae-wtn-drawn"]
    assert "ae-wtn-drawn took 1.050 times the time" in ended.stderr
