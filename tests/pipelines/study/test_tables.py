"""Tests for pipelines.study.tables."""

import json
import math

import pytest

from pipelines.study.tables import Metric, Summary, Table, TableRow

SEEN, NOVEL = Metric("seen", "seen AP50", "OI-500"), Metric("novel", "novel AP50", "OI-57")
LOSS = Metric("loss", "loss", best="lowest", decimals=3)
Paper = dict[str, float | None]


def row(title: str, paper: Paper | None = None, **values: tuple[float, ...]) -> TableRow:
    """Return a row whose name is its title in lower case."""
    return TableRow(title.lower(), title, values, paper or {})


@pytest.fixture
def table() -> Table:
    """Return three methods, one of which lacks a seed and another a metric."""
    rows = (
        row("WTN", {"seen": 52.87, "novel": 34.94}, seen=(50.0, 52.0, 54.0), novel=(30.0, 31.0)),
        row("WTN+", {"seen": 58.82, "novel": 39.28}, seen=(60.0, 60.0, 60.0), novel=(35.0,)),
        row("NN", {"seen": None, "novel": 28.09}, novel=(20.0, 20.0, 23.0)),
    )
    return Table("table1", (SEEN, NOVEL), rows)


def test_markdown_sets_ours_beside_the_paper(table: Table) -> None:
    """Mean and deviation, the best in bold, a dash for what is missing, n where it is less."""
    assert table.markdown() == (
        "| method |        seen AP50 |    OI-500 |           novel AP50 |     OI-57 |\n"
        "| ------ | ---------------: | --------: | -------------------: | --------: |\n"
        "| WTN    |     52.00 ± 2.00 |     52.87 | 30.50 ± 0.71 (n = 2) |     34.94 |\n"
        "| WTN+   | **60.00** ± 0.00 | **58.82** |    **35.00** (n = 1) | **39.28** |\n"
        "| NN     |                - |         - |         21.00 ± 1.73 |     28.09 |\n"
        "\n"
        "Rank correlation with the paper (Spearman): novel AP50 1.00 (3 rows).\n"
    )


def test_without_the_papers_figures_there_is_no_column_for_them() -> None:
    """A metric of ours alone has one column, and nothing to agree with."""
    table = Table("loss", (LOSS,), (row("WTN", loss=(0.5,)), row("WTN+", loss=(0.25,))))

    assert table.markdown() == (
        "| method |      loss |\n"
        "| ------ | --------: |\n"
        "| WTN    |     0.500 |\n"
        "| WTN+   | **0.250** |\n"
    )


def test_figures_that_look_equal_are_equally_best() -> None:
    """Two means that differ in the third decimal only are both bold; a single row never is."""
    rows = (row("A", seen=(50.001,)), row("B", seen=(50.002,)), row("C", seen=(49.0,)))

    assert Table("t", (SEEN,), rows).markdown().count("**50.00**") == 2
    assert "**" not in Table("t", (SEEN,), rows[:1]).markdown()


def test_a_table_without_rows_is_its_heading() -> None:
    """No seeds, no best, no agreement."""
    table = Table("t", (SEEN,), ())

    assert table.seeds == 0
    assert table.markdown().count("\n") == 2


def test_further_columns_stand_behind_the_metrics() -> None:
    """They are flush right, and a rule has a dash even below a single character."""
    table = Table("t", (LOSS,), (row("A", loss=(0.5,)), row("B", loss=(0.25,))))

    assert table.markdown([["n", "1", "1"]]) == (
        "| method |      loss |  n |\n"
        "| ------ | --------: | -: |\n"
        "| A      |     0.500 |  1 |\n"
        "| B      | **0.250** |  1 |\n"
    )


@pytest.mark.parametrize(
    ("values", "text"), [((), "-"), ((2.0,), "2.0"), ((1.0, 3.0), "2.0 ± 1.4")]
)
def test_a_summary_in_words(values: tuple[float, ...], text: str) -> None:
    """The sample standard deviation follows once there are two seeds."""
    assert Summary.of(values).text(decimals=1) == text


def test_json_holds_every_seed_and_null_for_what_is_undefined(table: Table) -> None:
    """The values of JSON's own types; NaN is none of them."""
    tree = json.loads(json.dumps(table.as_dict(), allow_nan=False))

    assert tree["name"] == "table1"
    assert [row["name"] for row in tree["rows"]] == ["wtn", "wtn+", "nn"]
    assert tree["rows"][0]["metrics"]["seen"] == {
        "mean": 52.0,
        "standard_deviation": 2.0,
        "paper": 52.87,
        "count": 3,
        "seeds": [50.0, 52.0, 54.0],
    }
    assert tree["rows"][2]["metrics"]["seen"] == {
        "mean": None,
        "standard_deviation": None,
        "paper": None,
        "count": 0,
        "seeds": [],
    }
    assert tree["rank_agreement"] == {
        "seen": {"spearman": None, "rows": 2},
        "novel": {"spearman": 1.0, "rows": 3},
    }


def test_a_seed_without_a_figure_counts_as_missing() -> None:
    """NaN neither spoils the mean nor counts, and is null in JSON."""
    summary = Summary.of([1.0, math.nan, 3.0])
    table = Table("t", (SEEN,), (row("A", seen=(1.0, math.nan, 3.0)), row("B", seen=(1.0,) * 3)))

    assert (summary.mean, summary.count) == (2, 2)
    assert summary.deviation == pytest.approx(2**0.5)
    assert "2.00** ± 1.41 (n = 2)" in table.markdown()
    assert '"seeds": [1.0, null, 3.0]' in json.dumps(table.as_dict(), allow_nan=False)


def test_small_figures_keep_a_digit() -> None:
    """What is not 0 is not shown as 0."""
    rows = (
        row("A", loss=(0.0003, 0.0004)), row("B", loss=(0.0, 0.0)), row("C", loss=(1.0, 1.0001)),
    )  # fmt: skip

    shown = Table("t", (LOSS,), rows).markdown()

    assert "0.0003 ± 7e-05 |" in shown
    assert "**0.000** ± 0.000 |" in shown
    assert "1.000 ± 0.000 |" in shown
