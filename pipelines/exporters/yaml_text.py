"""Settings as YAML 1.1, of which JSON's scalars and lists are a part, but for small numbers."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_NO_POINT = re.compile(r"(?<![\w.])(-?\d+)(e[-+]\d+)")  # 1e-05 is text in YAML 1.1


def to_yaml(tree: Mapping[str, Any]) -> str:
    """Return nested mappings of numbers, texts, truth values and lists as a YAML document."""
    return "\n".join(_lines(tree, "")) + "\n"


def _lines(tree: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{key}: {_scalar(value)}"


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    return _NO_POINT.sub(r"\1.0\2", json.dumps(value))
