"""What a run folder gets when its training ends: pictures and a model card."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.environment.report import read_environment
from pipelines.errors import ConfigError
from pipelines.figures import require_matplotlib
from pipelines.training.model_card import write_model_card
from pipelines.training.plots import draw_history
from pipelines.training.run_reading import read_run


def close_run(folder: Path) -> Sequence[str]:
    """Draw the pictures and write the model card of a run that has a checkpoint.

    Returns:
        What a user should know: that there are no pictures, if matplotlib is missing.
    """
    run, notes = read_run(folder), []
    try:
        require_matplotlib()
        draw_history(run.history, folder)
    except ConfigError as error:
        notes.append(f"No pictures of the run: {error.what}. {error.mend}")
    write_model_card(run, read_environment(folder))
    return notes
