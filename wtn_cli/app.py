"""The ``wtn`` command: its subcommands, and the one place where errors become exit codes."""

import atexit
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from pipelines.errors import (
    ArtifactError,
    ConfigError,
    DatasetError,
    Interrupted,
    MismatchError,
    RunError,
    WTNError,
)
from wtn_cli import (
    __version__,
    benchmark,
    check_data,
    console,
    demo,
    doctor,
    evaluate,
    export,
    export_head,
    extract_weights,
    inspect,
    predict,
    prepare,
    processes,
    runs,
    similarity,
    study,
    train,
)

EXIT_CODES: dict[type[WTNError], int] = {
    RunError: 1,
    ConfigError: 2,  # Typer's own code for bad usage
    ArtifactError: 3,
    DatasetError: 3,
    MismatchError: 4,
    Interrupted: 130,
}

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 run failed, 2 usage, 3 bad data or file, "
    "4 classes or dimensions that do not match, 130 interrupted.",
)
app.command(rich_help_panel="Start here")(demo.demo)
app.add_typer(prepare.app, name="prepare", rich_help_panel="The path of your data")
for _command in (
    extract_weights.extract_weights,
    check_data.check_data,
    train.train,
    similarity.similarity,
    export_head.export_head,
    export.export,
    evaluate.evaluate,
    predict.predict,
):
    app.command(rich_help_panel="The path of your data")(_command)
app.command(rich_help_panel="Look closer")(inspect.inspect)
app.command(rich_help_panel="Look closer")(doctor.doctor)
app.add_typer(runs.app, name="runs", rich_help_panel="Look closer")
app.command(rich_help_panel="Look closer")(study.study)
app.add_typer(benchmark.app, name="benchmark", rich_help_panel="Look closer")


def _print_version(wanted: bool) -> None:
    if wanted:
        console.say(f"wtn {__version__}")
        raise typer.Exit


@app.callback()
def _describe(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            metavar="",
            help="Print the version.",
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", metavar="", help="Show a traceback with an error.")
    ] = False,
) -> None:
    """Turn an image classifier's final layer into a Faster R-CNN that detects every class.

    Example: `wtn demo` shows the whole path in a few minutes on a CPU.
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; an error becomes a message on stderr and an exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        app(arguments, prog_name="wtn")
    except SystemExit as end:
        if end.code == EXIT_CODES[Interrupted]:  # of Typer, which says nothing
            _ignore_ctrl_c()
            console.note("Interrupted; no file is half-written.")
        raise
    except WTNError as error:
        processes.let_the_first_speak(error)
        _end(error, _exit_code(error), arguments)
    except OSError as error:
        processes.let_the_first_speak(error)
        reason = error.strerror or str(error)
        where = error.filename2 or error.filename  # the target of a rename, not the temporary file
        failed = RunError(reason, where=where, mend="Check the path, rights and free space.")
        _end(failed, EXIT_CODES[RunError], arguments)
    except Exception as error:  # a bug, but still no traceback without --debug
        processes.let_the_first_speak(error)
        failed = processes.lost_connection(error) or RunError(
            f"unexpected {type(error).__name__}: {error}",
            mend="This is a defect. Please report it with the output of: wtn --debug COMMAND ...",
        )
        _end(failed, EXIT_CODES[RunError], arguments)


def _exit_code(error: WTNError) -> int:
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def _end(error: WTNError, code: int, arguments: Sequence[str]) -> None:
    if "--debug" in arguments:
        traceback.print_exc()
    if code == EXIT_CODES[Interrupted]:
        _ignore_ctrl_c()
    console.fail(error)
    raise SystemExit(code)


def _ignore_ctrl_c() -> None:
    """Let another Ctrl-C not interrupt the exit, which waits for processes that are ending too."""
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
