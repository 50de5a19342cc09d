"""``wtn inspect``: what an artifact holds, and everything that it was made from."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from wtn_cli import console
from wtn_cli.options import AsJson

SHOWN_CLASSES = 8
SHOWN_TENSORS = 8


def inspect(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Any .safetensors file made by wtn.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show the classes, shapes, settings and provenance of an artifact.

    Example: `wtn inspect head.safetensors`
    """
    from pipelines.inspect import inspect_artifact  # imports torch, so only when it runs

    found = inspect_artifact(file)
    if as_json:
        console.emit_json(found)
        return
    named = zip(found.class_ids, found.class_names, strict=True)
    classes = [f"{i} ({name})" if name != i else i for i, name in list(named)[:SHOWN_CLASSES]]
    tensors = [f"{name} {shape}" for name, shape in list(found.shapes.items())[:SHOWN_TENSORS]]
    console.show_facts(
        f"{found.path}",
        {
            "format": f"{found.format}, version {found.version}",
            "sha256": found.sha256,
            "classes": f"{len(found.class_ids)}: " + _some(classes, len(found.class_ids)),
            "groups": ", ".join(f"{n} {group}" for group, n in found.groups.items()) or "-",
            "tensors": f"{len(found.shapes)}: " + _some(tensors, len(found.shapes)),
            **{name: value for fact in found.facts.items() for name, value in _rows(*fact)},
            **dict(_rows("made", found.made)),
        },
    )
    console.say("made from")
    for depth, role, path, digest in found.provenance:
        console.say(f"{'  ' * (depth + 1)}{role}: {path} (sha256 {digest[:16]})")


def _some(shown: list[str], total: int) -> str:
    return ", ".join(shown) + (", ..." if total > len(shown) else "")


def _rows(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Give every group of settings a row of its own."""
    groups = value if isinstance(value, Mapping) else {}
    for group, settings in groups.items():
        if isinstance(settings, Mapping):
            shown = (f"{key} {_short(setting)}" for key, setting in settings.items())
            yield f"{name}.{group}", ", ".join(shown)
        else:
            yield f"{name}.{group}", _short(settings)
    if not groups:
        yield name, _short(value)


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
