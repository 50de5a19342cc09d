"""``wtn demo``: the whole path on a world that it draws itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wtn_cli import console
from wtn_cli.options import AsJson

if TYPE_CHECKING:
    from pipelines.demo import DemoReport


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the world, the runs and the picture.")
    ] = Path("wtn-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw 960 classes, train on boxes of 100, and detect all of them: minutes on a CPU.

    Example: `wtn demo --output wtn-demo`
    """
    from pipelines.demo import run_demo  # imports torch, so only when it runs

    with console.progress("demo") as bar:
        report = run_demo(output, seed=seed, on_progress=bar.phase)
    if as_json:
        console.emit_json(report.as_dict())
    else:
        _show(report)


def _show(report: "DemoReport") -> None:
    rows = [
        (result.title, console.percent(result.seen), console.percent(result.novel))
        for result in report.results
    ]
    console.say("AP50 in percent; novel classes never had a box")
    console.show_table(("method", "seen", "novel"), rows)
    console.say(f"{report.seconds:.0f} s, picture: {report.picture}")
