"""``wtn doctor``: what this machine has, and whether training can run on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wtn_cli import console
from wtn_cli.options import AsJson

if TYPE_CHECKING:
    from pipelines.environment.git import GitState
    from pipelines.environment.report import Environment, Hardware, Torch


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
    console.show_facts(
        f"wtn {found.wtn}",
        {
            "commit": _commit(found.program),
            "system": found.system,
            "python": found.python,
            "processor": f"{found.hardware.cpu}, {found.hardware.cpus} to use",
            "memory": console.gigabytes(found.hardware.memory_bytes),
            **_gpus(found.hardware),
            **_torch(found.torch),
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


def _gpus(hardware: "Hardware") -> dict[str, str]:
    gpus = {
        f"cuda:{number}": f"{gpu.name}, {console.gigabytes(gpu.memory_bytes)}"
        for number, gpu in enumerate(hardware.gpus)
    }
    return gpus | ({"driver": hardware.driver} if hardware.driver else {})


def _torch(torch: "Torch | None") -> dict[str, object]:
    if torch is None:
        return {}
    return {
        "torch": torch.torch,
        "torchvision": torch.torchvision or "-",
        "CUDA, cuDNN": f"{torch.cuda or '-'}, {torch.cudnn or '-'}",
        "threads": torch.threads,
    }


def _extra(packages: Mapping[str, str | None]) -> str:
    missing = [package for package, version in packages.items() if version is None]
    if missing:
        return f"missing: pip install {' '.join(missing)}"
    return ", ".join(f"{package} {version}" for package, version in packages.items())
