"""The result of ``wtn study`` on the terminal, and its plan."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.study.wording import counted
from wtn_cli import console

if TYPE_CHECKING:
    from pipelines.study.outputs import StudyReport
    from pipelines.study.planning import StudyPlan
    from pipelines.study.tables import Table

_TITLE_WIDTH = 24  # of the first column, at least; longer titles are broken between words


def show_report(report: "StudyReport") -> None:
    """Show the table, the rows that are not in it, and the files."""
    console.say(f"{report.title}; the world {report.world}, {counted(report.table.seeds, 'seed')}")
    console.say(f"{report.unit}.")
    for columns in _parts(report.table, console.out().width):
        console.show_table((c[0] for c in columns), zip(*(c[1:] for c in columns), strict=True))
    if report.comparison:
        console.say(report.comparison)
    _show_left_out(report.left_out)
    for row in report.failed:
        console.say(f"failed: {row.row}, seed {row.seed}: {row.error}")
    if report.note:
        console.say(report.note)
    console.say(f"files: {', '.join(str(path) for path in report.files)}")


def show_plan(plan: "StudyPlan") -> None:
    """Show the trainings of a plan, each by its rows, and what they take."""
    console.say(f"{plan.study} in the world {plan.world}, {counted(plan.seeds, 'seed')}")
    columns = ("rows of a training", "done", "to do", "refused", "iterations", "hours", "GB")
    console.show_table(
        columns,
        [
            (
                ", ".join(training.rows),
                str(training.done),
                str(training.to_do),
                str(len(training.refused)),
                f"{training.iterations}",
                f"{training.hours:.1f}",
                f"{training.gigabytes:.2f}",
            )
            for training in plan.trainings
        ],
    )
    _show_left_out(plan.left_out)
    for reason in plan.refused:
        console.say(f"refused: {reason}")
    console.show_facts("It takes, about:", _costs(plan))
    for file in plan.missing:
        console.say(f"missing: {file}")


def _costs(plan: "StudyPlan") -> dict[str, str]:
    hours, memory = "one training after the other", "a training"
    if plan.jobs > 1:
        beside = f"with {plan.jobs} side by side"
        if plan.hours_side_by_side is not None:
            hours += f", or at least {plan.hours_side_by_side:.1f} h {beside}"
        memory += f", {plan.memory_gigabytes_side_by_side:.1f} GB {beside}"
    evaluated = (
        f"; the evaluation of each row on {plan.evaluation_images} images comes on top"
        if plan.evaluation_images
        else ""
    )
    return {
        "time": f"{plan.hours:.1f} h, {hours} ({plan.time_basis}){evaluated}",
        "memory": f"{plan.memory_gigabytes:.1f} GB {memory} ({plan.memory_basis})",
        "disk": f"{plan.gigabytes:.1f} GB of checkpoints{' and heads' if evaluated else ''}",
        "images": f"{plan.train_images} to train on; {plan.image_gigabytes:.1f} GB "
        f"({plan.image_basis})",
    }


def _parts(table: "Table", width: int) -> list[list[list[str]]]:
    """Divide a table that is wider than the terminal into columns that fit, methods in each.

    A metric and the paper's figures stay together. A heading is broken at its comma.
    """
    titles, *figures = ([c[0].replace(", ", ",\n"), *c[1:]] for c in table.columns())
    room = width - _TITLE_WIDTH - 4  # frames take 3 columns beside each cell, and 1 at the end
    parts, left = [[titles]], room
    for metric in table.metrics:
        count = 1 + table.has_paper(metric)
        group, figures = figures[:count], figures[count:]
        needed = sum(3 + max(len(line) for cell in c for line in cell.split("\n")) for c in group)
        if needed > left and len(parts[-1]) > 1:
            parts.append([titles])
            left = room
        parts[-1] += group
        left -= needed
    return parts


def _show_left_out(left_out: Mapping[str, str]) -> None:
    for name, reason in left_out.items():
        console.say(f"left out: {name}: {reason}")
