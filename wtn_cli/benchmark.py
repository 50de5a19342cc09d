"""``wtn benchmark``: measure what the project promises; the last thing printed is a JSON object."""

from typing import Annotated

import typer

from pipelines.errors import RunError
from wtn_cli import (
    benchmark_data,
    benchmark_evaluation,
    benchmark_inference,
    benchmark_train,
    console,
)

app = typer.Typer(no_args_is_help=True)
app.command()(benchmark_data.data)
app.command()(benchmark_evaluation.evaluation)
app.command()(benchmark_inference.inference)
app.command()(benchmark_train.train)


@app.callback()
def _describe() -> None:
    """Measure speed and memory against a limit or a peer in the same run.

    Example: `wtn benchmark export`
    """


@app.command()
def export(
    classes: Annotated[int, typer.Option(min=1, help="Rows to export.")] = 5000,
    width: Annotated[int, typer.Option(min=32, help="Width of the rows; a multiple of 32.")] = 2048,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs, after a warm-up.")] = 5,
) -> None:
    """Time the export of every class, from checkpoint file to head file.

    Example: `wtn benchmark export --classes 5000 --width 2048`
    """
    from pipelines.benchmarks.export import benchmark_export  # imports torch, so only when it runs

    result = benchmark_export(classes=classes, width=width, runs=runs)
    console.emit_json(result)
    if not result.within_limit:
        raise RunError(
            f"the export took {result.median_seconds:.2f} s, the limit is {result.limit_seconds} s"
        )
