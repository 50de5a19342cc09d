"""What makes a run folder complete: where it ran, its pictures, and its model card."""

from collections.abc import Callable
from pathlib import Path

from pipelines.config import TrainSettings
from pipelines.environment.report import describe_environment, read_environment
from pipelines.errors import ConfigError
from pipelines.figures import require_matplotlib
from pipelines.training.checkpoints import pairs_in
from pipelines.training.model_card import FILE, write_model_card
from pipelines.training.observer import Observer
from pipelines.training.plots import draw_history
from pipelines.training.run_folder import CHECKPOINTS
from pipelines.training.run_reading import read_run


def is_complete(folder: Path) -> bool:
    """Tell whether the card, which is written last, is of the newest checkpoint of a run."""
    card = folder / FILE
    states = [pair.state.stat().st_mtime for pair in pairs_in(folder / CHECKPOINTS)[:1]]
    return card.exists() and all(card.stat().st_mtime >= state for state in states)


class FolderCompletion(Observer):
    """Writes ``environment.json`` when a run begins, pictures and ``model-card.md`` when it ends.

    Args:
        settings: Of the training.
        on_note: Called with what a user should know: why there is no picture or no card.
    """

    def __init__(self, settings: TrainSettings, on_note: Callable[[str], None]) -> None:
        self._settings, self._on_note = settings, on_note

    def begun(self, folder: Path, iteration: int) -> None:
        """Record the machine; of a run that goes on, the one that it goes on with."""
        data, device = {"boxes": self._settings.data.boxes}, self._settings.device
        describe_environment(folder, data, device).save(folder)

    def ended(self, folder: Path) -> None:
        """Draw the pictures, if matplotlib is there, and write the card.

        The training is done and saved: what fails here is told, and ends nothing.
        """
        try:
            run = read_run(folder)
            try:
                require_matplotlib()
                draw_history(run.history, folder)
            except ConfigError as error:
                self._on_note(f"No pictures of the run: {error.what}. {error.mend}")
            write_model_card(run, read_environment(folder))
        except OSError as error:
            self._on_note(f"The model card was not written ({error.strerror or error}).")
