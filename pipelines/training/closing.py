"""What makes a run folder complete: where it ran, its pictures, and its model card."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.config import TrainSettings
from pipelines.environment.report import describe_environment, read_environment
from pipelines.errors import ConfigError, WTNError
from pipelines.figures import require_matplotlib
from pipelines.training.checkpoints import pairs_in
from pipelines.training.model_card import write_model_card
from pipelines.training.observer import Observer
from pipelines.training.plots import draw_history
from pipelines.training.run_folder import CHECKPOINTS, MODEL_CARD
from pipelines.training.run_reading import Run, read_run


def is_complete(folder: Path) -> bool:
    """Tell whether the card, which is written last, is of the newest checkpoint of a run."""
    card = folder / MODEL_CARD
    states = [pair.state.stat().st_mtime for pair in pairs_in(folder / CHECKPOINTS)[:1]]
    return card.exists() and all(card.stat().st_mtime >= state for state in states)


class FolderCompletion(Observer):
    """Writes ``environment.json`` when a run begins, pictures and ``model-card.md`` when it ends.

    They are beside the point of a training: what fails here is told, and ends nothing.

    Args:
        settings: Of the training.
        on_note: Called with what a user should know: why there is no picture or no card.
    """

    def __init__(self, settings: TrainSettings, on_note: Callable[[str], None]) -> None:
        self._settings, self._on_note = settings, on_note

    def begun(self, folder: Path, iteration: int) -> None:
        """Record the machine; of a run that goes on, the one that it goes on with."""
        data, device = {"boxes": self._settings.data.boxes}, self._settings.device
        with self._ending_nothing("environment.json was"):
            describe_environment(folder, data, device).save(folder)

    def ended(self, folder: Path) -> None:
        """Draw the pictures, if matplotlib is there, and write the card."""
        with self._ending_nothing("The pictures and the model card were"):
            run = read_run(folder)
            pictures = self._drawn(run)
            write_model_card(run, read_environment(folder), pictures)

    def _drawn(self, run: Run) -> Sequence[Path]:
        try:
            require_matplotlib()
        except ConfigError as error:
            self._on_note(f"No pictures of the run: {error.what}. {error.mend}")
            return ()
        return draw_history(run.history, run.folder)

    @contextmanager
    def _ending_nothing(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, WTNError) as error:
            why = error.place_and_cause if isinstance(error, WTNError) else error.strerror or error
            self._on_note(f"{what} not written ({why}).")
