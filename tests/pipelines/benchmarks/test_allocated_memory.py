"""Tests for pipelines.benchmarks.allocated_memory."""

import os

import pytest
import torch

from pipelines.benchmarks.allocated_memory import peak_allocated_bytes


def test_the_peak_is_of_what_is_held_at_a_time(capfd: pytest.CaptureFixture[str]) -> None:
    """What was let go of or came before does not count; the tracer is quiet, and errors are not."""
    before = torch.zeros(10**6)

    def run() -> None:
        first = torch.empty(10**6)
        second = torch.empty(2 * 10**6)
        del first
        torch.empty(500_000)
        os.write(2, b"a real error")
        second.add_(before[0])

    assert peak_allocated_bytes(run, torch.device("cpu")) == 4 * 3 * 10**6
    assert capfd.readouterr() == ("", "a real error")
