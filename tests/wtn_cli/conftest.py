"""Commands in several processes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Ended = subprocess.CompletedProcess[str]


@pytest.fixture
def torchrun() -> Callable[..., Ended]:
    """Return a function that runs something in two processes, with torchrun's own options first."""

    def run(*arguments: object) -> Ended:
        given = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", 2, *arguments]
        return subprocess.run(
            [str(argument) for argument in given],
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )

    return run
