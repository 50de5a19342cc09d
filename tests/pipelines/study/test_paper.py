"""Tests for pipelines.study.paper."""

import pytest

from pipelines.study import paper, variants
from pipelines.study.worlds import METRICS


@pytest.mark.parametrize("table", ["TABLE1", "TABLE2", "TABLE3"])
def test_every_variant_has_its_row_of_the_paper(table: str) -> None:
    """The figures are found by the names of the variants, so none may be missing or left over.

    LSDA's visual transfer is one row there, which looks at images; its proxy has none.
    """
    names = [v.name for v in getattr(variants, table) if v.name != "lsda-visual-weights"]

    assert list(getattr(paper, table)) == names


@pytest.mark.parametrize("metric", METRICS)
def test_the_papers_method_is_its_best(metric: str) -> None:
    """AE-WTN leads in all three columns of Table 1, as the paper says."""
    best = max(paper.TABLE1, key=lambda name: paper.TABLE1[name][metric])

    assert best == "ae-wtn"


def test_gains_are_those_of_the_abstract() -> None:
    """AE-WTN gains 6, 6 and 25 percent over WTN."""
    gains = [paper.TABLE1["ae-wtn"][name] - paper.TABLE1["wtn"][name] for name in METRICS]

    assert [int(gain + 0.2) for gain in gains] == [6, 6, 25]


def test_batch_norm_spreads_novel_activations() -> None:
    """The paper says 70 times; its figures give 68.4."""
    assert paper.TABLE3["wtn+-batch-norm"]["variance_ratio"] == pytest.approx(68.4, abs=0.05)
