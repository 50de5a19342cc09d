"""What ``wtn evaluate`` refuses before it does anything: options that do not belong together."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.errors import ConfigError


def refuse_unused(
    group_of_weight: float | None, metric: str, seed: int | None, bootstrap: int
) -> None:
    """Refuse options that would change nothing."""
    if group_of_weight is not None and metric != "oid":
        raise ConfigError(
            f"--group-of-weight is for --metric oid, not {metric}",
            mend="The other metrics decide themselves what a group is worth; leave it out.",
        )
    if seed is not None and not bootstrap:
        raise ConfigError("--seed needs --bootstrap", mend="Ask for samples: --bootstrap 1000.")


def refuse_shift_alone(novel_shift: float | None, joint: bool) -> None:
    """Refuse to let novel classes compete where their own figures are asked for."""
    if novel_shift is not None and not joint:
        raise ConfigError(
            "--novel-shift needs --joint: it decides between seen and novel classes",
            mend="Add --joint, which reports their harmonic mean.",
        )


def refuse_outputs(
    inputs: Sequence[Path | str | None], tables: Sequence[Path | None], plots: Path | None
) -> None:
    """Refuse to write over a file that is read, or where nothing can be, before detecting.

    What an index was made from counts as read.
    """
    from pipelines.data.index import files_behind, is_index
    from pipelines.metrics.plots import plot_paths
    from pipelines.storage import refuse_to_replace, refuse_unwritable

    files = [Path(name) for name in inputs if name is not None]
    boxes = files[0]
    files += files_behind(boxes) if is_index(boxes) else []
    outputs = [*tables, *(plot_paths(plots) if plots else ())]
    for output in filter(None, outputs):
        refuse_to_replace(output, files)
    refuse_unwritable(outputs)


def refuse_unplotted(plots: Path | None, plot_class: Sequence[str] | None) -> None:
    """Refuse plots that cannot be drawn before anything is detected."""
    if plots is not None:
        from pipelines.figures import require_matplotlib

        require_matplotlib()
    elif plot_class:
        raise ConfigError("--plot-class needs --plots", mend="Name a folder with --plots.")


def refuse_mixed(
    predictions: Path | None, of_detector: Sequence[object], of_file: Sequence[object]
) -> None:
    """Refuse options of a detector beside a file of predictions, and the other way round."""
    if predictions is not None and any(of_detector):
        raise ConfigError("--predictions takes the place of --checkpoint and its options")
    if predictions is None and any(of_file):
        option = "--image-sizes" if of_file[0] else "--seen-classes"
        raise ConfigError(
            f"{option} is for --predictions",
            mend="A detector sees its images, and its head knows the seen classes.",
        )


def required(checkpoint: Path | None, images: Sequence[Path] | None) -> Path:
    """Return the checkpoint; images alone may be missing, an index knows them."""
    if checkpoint is None:
        raise ConfigError(
            f"--checkpoint{'' if images else ', --images'} missing",
            mend="Give --checkpoint and --images, or --predictions.",
        )
    return checkpoint
