"""The most memory that torch's allocator gave out, on a CPU as ``max_memory_allocated`` on a GPU.

Resident memory would not do: what the C library keeps of what torch has let go of makes it scatter
by a twentieth, more than the methods differ by.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

_EVENT, _TOTAL = "[memory]", "Total Allocated"  # of an allocation in torch's trace


def peak_allocated_bytes(run: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that tensors held at a time while ``run`` lasted.

    What libraries allocate past torch does not count, nor do tensors from before on a CPU.
    """
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # or there are no statistics yet
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device)
    traced = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
    with _quiet():
        traced.start()
    try:
        run()
    finally:
        with _quiet():
            traced.stop()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        traced.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    return max(int(event["args"][_TOTAL]) for event in events if event.get("name") == _EVENT)


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what is written to stderr where the tracer tells that it begins and has no GPU."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
