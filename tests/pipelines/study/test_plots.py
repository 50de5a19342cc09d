"""Tests for pipelines.study.plots."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pipelines.errors import ConfigError
from pipelines.study import plots
from pipelines.study.activations import ActivationNorms
from pipelines.study.neighborhoods import NeighborOverlap
from pipelines.study.plots import Curve, draw_curves, draw_norms, draw_overlaps, draw_table
from pipelines.study.tables import Metric, Table, TableRow

SEEN, NOVEL = Metric("seen", "seen AP50"), Metric("novel", "novel AP50")
BLUE, RED = (31, 95, 208), (208, 39, 31)  # seen, novel
FIRST, SECOND = (0, 114, 178), (213, 94, 0)  # of the methods


def table(paper: dict[str, float | None], **values: tuple[float, ...]) -> Table:
    """Return a table of one row."""
    return Table("t", (SEEN, NOVEL), (TableRow("a", "A", values, paper),))


def overlap(share: float) -> NeighborOverlap:
    """Return the overlap of 200 classes that keep about a share of their neighbours."""
    ks = (10, 20, 50, 100)
    counts = np.random.default_rng(0).binomial(ks, share, (200, len(ks)))
    return NeighborOverlap(ks, counts.astype(float))


CURVE = Curve("A", (500, 1000), {"seen": ((1.0, 2.0), (3.0,)), "novel": ((), (1.0, 2.0))})
NORMS = ActivationNorms(np.array([1.0, 2, 3]), np.array([2.0, 3, 9]))
DRAWINGS: dict[str, Callable[..., None]] = {
    "table": partial(draw_table, table({}, seen=(1.0, 2.0))),
    "curves": partial(draw_curves, [CURVE], [SEEN]),
    "overlaps": partial(draw_overlaps, {"A": overlap(0.5)}),
    "norms": partial(draw_norms, {"A": [NORMS]}),
}


def colours(path: Path) -> set[tuple[int, ...]]:
    """Return the colours of a picture."""
    with Image.open(path) as image:
        return {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or ()}


def width(path: Path) -> int:
    """Return the width of a picture in pixels."""
    with Image.open(path) as image:
        return image.width


@pytest.mark.parametrize("name", DRAWINGS)
def test_without_the_extra_a_plot_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message tells how to get matplotlib, and no file is left behind."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(ConfigError, match="pip install matplotlib"):
        DRAWINGS[name](tmp_path / "picture.png")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_heading_stands_above_all_panels(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the figure's own title, which no panel overlaps."""
    written, save = [], Figure.savefig

    def note_and_save(figure: Figure, path: Path, **options: Any) -> None:  # noqa: ANN401
        written.append(figure.get_suptitle())
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", note_and_save)

    DRAWINGS[name](tmp_path / "picture.png", heading="Methods: shapes, 3 seeds")

    assert written == ["Methods: shapes, 3 seeds"]


@pytest.mark.parametrize(("figures", "key"), [((1.0,), "one seed"), ((1.0, 2.0), "over seeds")])
def test_a_key_tells_whether_there_is_a_spread(
    figures: tuple[float, ...], key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One seed has none."""
    keys, below = [], plots._key_below

    def note_and_put(figure: Figure, axes: Any, title: str, columns: int) -> None:  # noqa: ANN401
        keys.append(title)
        below(figure, axes, title, columns)

    monkeypatch.setattr(plots, "_key_below", note_and_put)

    draw_table(table({}, seen=figures), tmp_path / "table.png")
    draw_curves([Curve("A", (500,), {"seen": (figures,)})], [SEEN], tmp_path / "curves.png")

    assert [key in told for told in keys] == [True, True]


def test_a_table_has_a_panel_for_the_paper_if_it_has_figures(tmp_path: Path) -> None:
    """Seen is blue and novel red; a figure may be missing on either side."""
    path, other = tmp_path / "both.png", tmp_path / "paper.png"

    draw_table(table({}, seen=(50.0, 52.0), novel=(30.0,)), path)
    draw_table(table({"seen": 59.59, "novel": None}, seen=(50.0,)), other)

    assert {BLUE, RED} <= colours(path)
    assert width(other) > width(path)


def test_each_method_has_a_curve_and_each_metric_a_panel(tmp_path: Path) -> None:
    """Positions that were not measured leave a gap; two panels are wider than one."""
    one, two = tmp_path / "one.png", tmp_path / "two.png"

    draw_curves([CURVE], [SEEN], one)
    draw_curves([CURVE, CURVE], [SEEN, NOVEL], two)

    assert FIRST in colours(one)
    assert SECOND not in colours(one)
    assert {FIRST, SECOND} <= colours(two)
    assert width(two) > width(one)


def test_overlaps_are_drawn_with_the_papers(tmp_path: Path) -> None:
    """The paper's figure is one more mark in the colour of its method."""
    path, bare = tmp_path / "paper.png", tmp_path / "bare.png"
    overlaps = {"A": overlap(0.3), "B": overlap(0.6)}

    draw_overlaps(overlaps, path, {"B": 90.0})
    draw_overlaps(overlaps, bare)

    assert {FIRST, SECOND} <= colours(path)
    assert path.read_bytes() != bare.read_bytes()


def test_norms_are_drawn_for_both_groups(tmp_path: Path) -> None:
    """Seen is blue and novel red, whatever the number of methods."""
    path = tmp_path / "norms.png"

    draw_norms({"GroupNorm": [NORMS], "BatchNorm": [NORMS, NORMS]}, path)

    assert {BLUE, RED} <= colours(path)


def test_norms_have_a_box_for_each_seed_and_the_tables_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds of variance 0 have a mean variance of 0, however far apart; pooled it would not be."""
    apart = [ActivationNorms(np.full(3, x), np.full(4, 2 * x)) for x in (1.0, 3.0)]
    figure = Figure()
    monkeypatch.setattr(plots, "figure_file", lambda *_: nullcontext(figure))

    draw_norms({"A": apart}, tmp_path / "norms.png")

    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["seen\nmean 2\nvariance 0", "novel\nmean 4\nvariance 0"]
    ends = [np.asarray(line.get_xdata()) for line in axes.lines]
    whiskers = sorted({float(x[0]) for x in ends if len(x) == 2 and x[0] == x[1]})
    assert whiskers == pytest.approx([-0.15, 0.15, 0.85, 1.15])
