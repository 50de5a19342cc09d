"""Tests for pipelines.exporters.yaml_text."""

import pytest

from pipelines.exporters.yaml_text import to_yaml


def test_mappings_nest_and_lists_stay_on_their_line() -> None:
    """Two spaces a level; texts are quoted, truth values as YAML writes them."""
    tree = {"A": {"B": {"C": [1, 2.5], "D": "x: #y"}, "E": True}, "F": 3}

    assert to_yaml(tree) == 'A:\n  B:\n    C: [1, 2.5]\n    D: "x: #y"\n  E: true\nF: 3\n'


def test_small_numbers_are_numbers() -> None:
    """YAML 1.1 takes 1e-05 for a text."""
    assert to_yaml({"A": 1e-5, "B": [1.5e-7, -2e-9], "C": "1e-05"}) == (
        'A: 1.0e-05\nB: [1.5e-07, -2.0e-09]\nC: "1e-05"\n'
    )


def test_yaml_reads_it_back() -> None:
    """PyYAML, which detectron2 uses, reads what was meant."""
    yaml = pytest.importorskip("yaml")
    tree = {"A": {"B": [[8], [16]], "C": 1e-5, "D": "é"}, "E": False, "F": 0.0}

    assert yaml.safe_load(to_yaml(tree)) == tree
