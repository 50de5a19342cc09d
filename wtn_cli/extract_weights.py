"""``wtn extract-weights``: a classifier's final layer becomes classifier.safetensors."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wtn_cli import console
from wtn_cli.options import AsJson

if TYPE_CHECKING:
    from pipelines.classifiers.word_vectors import NameLookup
    from pipelines.extract import ExtractReport

SHOWN_CANDIDATES = 4
SHOWN_WORDS = 8
SHOWN_FINGERPRINT = 17  # characters, as in the errors that compare two


def extract_weights(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A .safetensors, .pth, .pt, .npz or .npy file, a TensorFlow V2 checkpoint prefix, "
            "torchvision:NAME[@WEIGHTS], or word vectors: .vec, .txt, .vec.gz, fastText .bin.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "classifier.safetensors"
    ),
    layer: Annotated[
        str | None, typer.Option(help="Name of the final layer, where it is not unique.")
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Class ids in row order: plain list, or CSV with ids and names."),
    ] = None,
    class_names: Annotated[
        Path | None,
        typer.Option(help="CSV of id,name that names a plain list (class-descriptions.csv)."),
    ] = None,
    feature_space_of: Annotated[
        Path | None,
        typer.Option(help="These are new rows for the frozen network of this classifier file."),
    ] = None,
    missing: Annotated[
        Literal["error", "skip"],
        typer.Option(help="What to do with classes whose names have no word vector."),
    ] = "error",
    as_json: AsJson = False,
) -> None:
    """Extract the final layer of a classifier, or the word vectors of names, one row per class.

    Example: `wtn extract-weights resnet50.pth --classes classes.csv -o classifier.safetensors`
    """
    from pipelines.extract import extract_weights  # imports torch, so only when it runs

    report = extract_weights(
        source,
        output,
        layer=layer,
        classes=classes,
        class_names=class_names,
        feature_space_of=feature_space_of,
        missing=missing,
    )
    if as_json:
        console.emit_json(report)
    else:
        _show(report)


def _show(report: "ExtractReport") -> None:
    norms = report.row_norms
    spread = "without bound: a row is zero" if norms.spread is None else f"{norms.spread:.1f}x"
    console.show_facts(
        f"{report.output}",
        {
            "classes K": report.num_classes,
            "width d": report.width,
            **(_layer_facts(report) if report.lookup is None else {"rows": report.reason}),
            "row norms": f"{norms.minimum:.3f} to {norms.maximum:.3f}, median {norms.median:.3f}, "
            f"spread {spread}",
            "class ids from": report.classes,
            **({} if report.lookup is None else _lookup_facts(report.lookup)),
            "source": report.source,
            "sha256": "\n".join(f"{sha} {name}" for name, sha in report.source_files.items()),
            "feature space": report.feature_space[:SHOWN_FINGERPRINT],
        },
    )


def _layer_facts(report: "ExtractReport") -> dict[str, str]:
    others = [c for c in report.candidates if c.layer != report.layer]
    passed_over = [f"{c.layer} {list(c.shape)}" for c in others[:SHOWN_CANDIDATES]]
    if len(others) > SHOWN_CANDIDATES:
        passed_over.append(f"and {len(others) - SHOWN_CANDIDATES} more")
    return {
        "layer": f"{report.layer} ({report.reason})",
        "orientation": report.orientation,
        "passed over": ", ".join(passed_over) or "no other candidate",
    }


def _lookup_facts(lookup: "NameLookup") -> dict[str, str]:
    groups = {
        "composed": lookup.composed,
        "dropped words": lookup.dropped,
        "left out": lookup.without_vector,
        "equal rows": tuple(" = ".join(ids) for ids in lookup.equal_rows),
    }
    return {name: _some(entries) for name, entries in groups.items() if entries}


def _some(entries: Sequence[str]) -> str:
    more = ", ..." if len(entries) > SHOWN_WORDS else ""
    return f"{len(entries)}: {', '.join(entries[:SHOWN_WORDS])}{more}"
