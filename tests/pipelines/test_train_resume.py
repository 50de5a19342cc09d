"""Tests for pipelines.train: a training that was killed or stopped ends as one that never was."""

import os
import subprocess
import sys
from pathlib import Path

STEPS = 24


def train(settings: Path, run: Path, *options: str) -> "subprocess.Popen[str]":
    """Start a training of 24 steps with a pair every fifth, in a process of its own."""
    command = [sys.executable, "-m", "wtn_cli", "train", "--config", str(settings), "-o", str(run),
               "--iterations", str(STEPS), "--set", "schedule.log_every=4",
               "--set", "schedule.checkpoint_every=5", *options]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
