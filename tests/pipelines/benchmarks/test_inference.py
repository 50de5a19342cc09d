"""Tests for pipelines.benchmarks.inference, its picture and its command."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pipelines.benchmarks import inference as benchmark
from pipelines.benchmarks import inference_limits
from pipelines.benchmarks.inference_plot import plot_inference

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]

SHARED = {"resize": 0.1, "backbone": 1.0, "rpn": 0.3, "head": 0.4}
ROUNDS = [
    {
        91: SHARED | {"postprocess": 0.2 * slow},
        500: SHARED | {"postprocess": 0.3 * slow},
        5000: SHARED | {"postprocess": 0.5 * slow},
        21_841: SHARED | {"postprocess": 1.2 * slow},
    }
    for slow in (1.0, 2.0, 6.0)
]
ROUNDS[1][5000] = ROUNDS[1][5000] | {"backbone": 5.0}  # another program ran


@pytest.fixture
def _drawn_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure nothing."""
    cost = benchmark.TorchvisionCost((ROUNDS[0][5000],), 3000, (9.0, 6.0, 7.0), (0.1, 0.2, 0.1))
    peaks = {91: 1000, 500: 1050, 5000: 1100, 21_841: 1600}
    monkeypatch.setattr(benchmark, "our_passes", lambda *_: [ROUNDS[0], *ROUNDS])
    monkeypatch.setattr(benchmark, "_our_peak", lambda setup, classes, steps: peaks[classes])
    monkeypatch.setattr(benchmark, "_torchvision", lambda *_: ({5000: cost}, {21_841: "too slow"}))


@pytest.mark.usefixtures("same_process")
def test_ours_and_torchvisions_are_measured_by_stages(tmp_path: Path) -> None:
    """Every pass counts, and every number of classes has its time and memory."""
    Image.effect_mandelbrot((80, 60), (-2, -1.5, 1, 1.5), 9).convert("RGB").save(tmp_path / "a.png")
    told: list[tuple[int, int, str]] = []

    found = benchmark.benchmark_inference(
        classes=(9, 5),
        backbone="tiny",
        size=64,
        runs=2,
        threads=1,
        device="cpu",
        image=tmp_path / "a.png",
        on_progress=lambda *step: told.append(step),
    )

    for latency in (*found.ours.values(), *found.torchvision.values()):
        assert tuple(latency.stages) == ("resize", "backbone", "rpn", "head", "postprocess")
        assert all(seconds > 0 for seconds in latency.stages.values())
        low, high = latency.quartiles
        assert min(latency.seconds) <= low <= latency.median_seconds <= high
    assert list(found.ours) == list(found.torchvision) == list(found.postprocess) == [5, 9]
    assert {len(one.seconds) for one in found.ours.values()} == {2}
    assert found.end_to_end_ratio[5] == found.peak_memory_ratio[5] == 1.0
    assert found.postprocess_speedup[9] == pytest.approx(
        found.postprocess[9].torchvision / found.postprocess[9].ours
    )
    assert found.skipped == {}
    assert [step[0] for step in told] == list(range(8))
    assert {step[1] for step in told} == {7}


@pytest.mark.usefixtures("_drawn_figures")
def test_ratios_are_of_medians() -> None:
    """The ratio is that of whole passes, round by round; beside it stages are pooled."""
    found = benchmark.benchmark_inference(device="cpu", runs=3)

    assert found.runs == 3
    assert found.stage_ratio[5000] == pytest.approx(2.8 / 2.2)
    rounds = (2.3 / 2.0, 4.8 / 3.0, 6.8 / 2.2)
    assert found.end_to_end_ratio[5000] == pytest.approx(rounds[1])
    assert found.ours[5000].median_seconds == pytest.approx(4.8)
    assert found.ours[5000].quartiles == pytest.approx((3.55, 5.8))
    assert found.postprocess_speedup == {5000: pytest.approx(70)}
    assert found.peak_memory_ratio[21_841] == pytest.approx(1.6)


@pytest.mark.usefixtures("_drawn_figures")
def test_the_command_prints_the_figures_and_then_what_is_missed(wtn: Wtn, tmp_path: Path) -> None:
    """Over a limit the last thing on stdout is still one JSON object; the exit code is 1."""
    picture = tmp_path / "inference.png"

    ended = wtn("benchmark", "inference", "--device", "cpu", "--plot", picture)

    assert ended.returncode == 1
    printed = json.loads(ended.stdout)
    assert {"end_to_end_ratio", "postprocess_speedup", "peak_memory_ratio"} <= printed.keys()
    assert printed["skipped"] == {"21841": "too slow"}
    assert printed["missed"] == [
        "5000 classes took 1.600 times as long as 91, the limit is 1.05",
        "post-processing 5000 classes was 70.0 times as fast as torchvision's, not 100",
        "21841 classes needed 1.60 times the memory of 91, the limit is 1.5",
    ]
    assert "post-processing 5000 classes was 70.0 times" in ended.stderr
    assert picture.is_file()


@pytest.mark.parametrize("classes", ["", "91,", "many", "0,91", "-5"])
def test_numbers_of_classes_must_be_numbers(wtn: Wtn, classes: str) -> None:
    """Nothing is measured before they are read."""
    ended = wtn("benchmark", "inference", "--classes", classes)

    assert ended.returncode == 2
    assert f"--classes {classes} is not a list of numbers" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.usefixtures("_drawn_figures")
def test_the_picture_shows_ours_beside_torchvisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three panels: time, post-processing and memory, over the number of classes."""
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    save = Figure.savefig

    def savefig(figure: Figure, *given: object, **options: object) -> None:
        drawn.append(figure)
        save(figure, *given, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    result = benchmark.benchmark_inference(device="cpu", runs=3)

    plot_inference(result, tmp_path / "inference.png")

    lines = [{line.get_label(): line.get_ydata() for line in a.lines} for a in drawn[0].axes]
    assert lines[0]["ours"] == pytest.approx([2.2, 2.4, 4.8, 4.2])
    assert lines[0]["torchvision"] == pytest.approx([2.3])
    assert lines[1] == {"ours": [0.1], "torchvision": [7.0]}
    assert lines[2]["ours"] == pytest.approx([1e-6, 1.05e-6, 1.1e-6, 1.6e-6])


@pytest.mark.usefixtures("_drawn_figures")
def test_promises_are_made_for_one_detector() -> None:
    """Of another backbone or size nothing is missed."""
    found = benchmark.benchmark_inference(device="cpu", runs=3)
    judge = inference_limits.missed_limits
    given = (found.end_to_end_ratio, found.postprocess_speedup, found.peak_memory_ratio)

    assert len(judge(found.setup, *given)) == 3
    assert judge(replace(found.setup, size=600), *given) == ()
    assert judge(replace(found.setup, backbone="tiny"), *given) == ()
    assert judge(found.setup, {91: 1.0, 5000: 1.05}, {5000: 100.0}, {91: 1.0}) == ()
    assert judge(found.setup, {500: 1.0, 5000: 9.0}, {}, {500: 1.0, 21_841: 9.0}) == ()


@pytest.mark.usefixtures("_drawn_figures")
def test_torchvision_is_left_out_where_it_would_take_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its time grows with the square of the classes; the reason tells both numbers."""
    setup = benchmark.benchmark_inference(device="cpu", runs=3).setup
    cost = benchmark.TorchvisionCost(({"backbone": 3.0, "postprocess": 50.0},), 1, (), ())
    skip = inference_limits.reason_to_skip
    monkeypatch.setattr(inference_limits, "_free_bytes", lambda device: 4_000_000_000)

    assert skip(setup, 5000, {}) is None
    assert skip(setup, 10_000, {5000: cost}) is None
    assert (
        skip(setup, 15_000, {5000: cost}) == "post-processing could take 450 s, the limit is 300 s"
    )
    assert skip(setup, 21_841, {}) == "it would need about 4.4 GB, and 4.0 GB are free"
