"""``wtn runs``: which run folders there are, what one holds, and how several differ."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import ConfigError
from wtn_cli import console, runs_tables
from wtn_cli.options import AsJson

app = typer.Typer(no_args_is_help=True)

_Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that wtn train wrote.")]


@app.callback()
def _describe() -> None:
    """List, show and compare what wtn train wrote.

    Example: `wtn runs list`
    """


@app.command("list")
def list_(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Looked through, four folders deep.")
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """List the runs in a folder, the one written last first.

    Speeds are medians; "running?" is a run of an earlier version that was written lately.

    Example: `wtn runs list studies`
    """
    from pipelines.runs import list_runs  # imports torch, so only when it runs

    found = list_runs(folder)
    if as_json:
        console.emit_json({"runs": found})
    else:
        runs_tables.show_list(found)


@app.command()
def show(
    run: _Run,
    plots: Annotated[
        bool, typer.Option("--plots", metavar="", help="Draw its pictures again, into the folder.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one run: settings, losses, evaluations, checkpoints, and how to go on with it.

    Example: `wtn runs show run --plots`
    """
    from pipelines.runs import show_run  # imports torch, so only when it runs

    details = show_run(run, plots=plots)
    if as_json:
        console.emit_json(details)
    else:
        runs_tables.show_details(details)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Two folders or more.")],
    as_json: AsJson = False,
) -> None:
    """Set runs side by side: the settings that differ, losses and evaluations.

    Example: `wtn runs compare run-a run-b`
    """
    from pipelines.runs import compare_runs  # imports torch, so only when it runs

    if len(runs) < 2:
        raise ConfigError("one run compares with nothing", mend="Name two or more.")
    comparison = compare_runs(runs)
    if as_json:
        console.emit_json(comparison)
    else:
        runs_tables.show_comparison(comparison)
