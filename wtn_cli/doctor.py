"""``wtn doctor``: what this machine has, and whether training can run on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wtn_cli import console
from wtn_cli.options import AsJson

if TYPE_CHECKING:
    from pipelines.environment.git import GitState
    from pipelines.environment.report import Environment


def doctor(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where a run would be written.")
    ] = Path("run"),
    as_json: AsJson = False,
) -> None:
    """Report hardware, versions and limits, and check that training can run; 1 if it cannot.

    The report names no user, machine, folder or environment variable, so it can be shown to
    others; each run folder holds its own.

    Example: `wtn doctor`
    """
    from pipelines.environment.report import describe_environment  # imports torch when it runs

    found = describe_environment(output)
    if as_json:
        console.emit_json(found)
    else:
        _show(found)
    if not found.can_train:
        raise typer.Exit(1)


def _show(found: "Environment") -> None:
    hardware, torch = found.hardware, found.torch
    console.show_facts(
        f"wtn {found.wtn}",
        {
            "commit": _commit(found.program),
            "system": found.system,
            "python": found.python,
            "processor": f"{hardware['cpu']}, {hardware['cpus']} to use",
            "memory": console.gigabytes(hardware["memory_bytes"]),
            **_gpus(found),
            **{name: torch[name] or "-" for name in ("torch", "torchvision") if torch},
            **(
                {"CUDA, cuDNN": f"{torch['cuda'] or '-'}, {torch['cudnn'] or '-'}"} if torch else {}
            ),
            **({"threads": torch["threads"]} if torch else {}),
            **{f"extra {name}": _extra(held) for name, held in found.extras.items()},
        },
    )
    console.show_table(
        ("check", "verdict", "finding"),
        ((check.name, check.verdict, check.finding) for check in found.checks),
        text=(0, 1, 2),
    )
    for check in found.checks:
        if check.mend is not None:
            console.say(f"{check.name}: {check.mend}")
    console.say("Training can run." if found.can_train else "Training cannot run.")


def _commit(state: "GitState | None") -> str:
    return "-" if state is None else f"{state.commit[:12]}, {state.state}"


def _gpus(found: "Environment") -> dict[str, str]:
    gpus = {
        f"cuda:{number}": f"{gpu['name']}, {console.gigabytes(gpu['memory_bytes'])}"
        for number, gpu in enumerate(found.hardware["gpus"])
    }
    driver = found.hardware["driver"]
    return gpus | ({"driver": driver} if driver else {})


def _extra(packages: Mapping[str, str | None]) -> str:
    missing = [package for package, version in packages.items() if version is None]
    if missing:
        return f"missing: pip install {' '.join(missing)}"
    return ", ".join(f"{package} {version}" for package, version in packages.items())
