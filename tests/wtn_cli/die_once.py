"""``wtn``, whose second process is killed before its fourth step, unless torchrun restarted it."""

import os
import signal

from pipelines.training.step import StepOutcome, TrainingStep
from wtn_cli.app import main

_step = TrainingStep.__call__


def _or_die(self: TrainingStep, iteration: int, *batch: list) -> StepOutcome:
    if iteration == 4 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return _step(self, iteration, *batch)


if __name__ == "__main__":
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        TrainingStep.__call__ = _or_die  # type: ignore[method-assign]
    main()
