"""The processes that torchrun starts: which one this is, who speaks, and who failed first."""

import json
import os
import signal
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import Interrupted, RunError, WTNError
from wtn_cli import console

if TYPE_CHECKING:
    from pipelines.distributed import Team

_LEADER_FIRST = 5.0  # seconds in which the leader may tell the same error
_UNTIL_ENDED = 3.0  # seconds; torchrun ends all processes about 0.1 s after the first has failed
_SET_BY_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def join() -> "Team":
    """Return this process's place among those that torchrun started; only the leader speaks on."""
    from pipelines.distributed import ALONE, Team

    if not _is_shared():
        return ALONE
    rank, local_rank, size = (int(os.environ[name]) for name in _SET_BY_TORCHRUN[:3])
    if rank > 0:
        console.mute()
    return Team(rank, size, local_rank)


def train_command() -> tuple[str, ...]:
    """Return the command that begins a training like this one, without its options."""
    if not _is_shared():
        return ("wtn", "train")
    here, machines = (
        os.environ.get(name, "1") for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE")
    )
    meeting = ("--standalone",) if machines == "1" else ("--nnodes", machines, "...")
    return ("torchrun", *meeting, "--nproc-per-node", here, "-m", "wtn_cli", "train")


def let_the_first_speak(error: Exception) -> None:
    """Hold back an error, where it is handled, that another process caused or tells better.

    torchrun ends all processes as soon as one has failed. So a process that only lost a connection
    waits for that, and one that is not the leader lets the leader tell what all of them find.
    """
    if not _is_shared() or isinstance(error, Interrupted):
        return
    from pipelines.distributed import is_lost_connection

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if is_lost_connection(error):
        time.sleep(_UNTIL_ENDED)
    else:
        _report_to_torchrun(error)
        if os.environ["RANK"] != "0":
            time.sleep(_LEADER_FIRST)
    console.unmute()


def lost_connection(error: Exception) -> RunError | None:
    """Return what to tell about an error, if another process was lost."""
    if not _is_shared():
        return None
    from pipelines.distributed import is_lost_connection

    if not is_lost_connection(error):
        return None
    return RunError(
        "another process has ended",
        mend="Its own message tells why, or torchrun which signal killed it. "
        "wtn train goes on with --resume auto; --debug shows what this process met.",
    )


def _report_to_torchrun(error: Exception) -> None:
    """Write the file that torchrun's last words quote; only a defect has a traceback there.

    Its layout is documented in torch.distributed.elastic.multiprocessing.errors.
    """
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file is None:
        return
    told = str(error) if isinstance(error, WTNError) else traceback.format_exc()
    extra = {"py_callstack": told, "timestamp": str(int(time.time()))}
    message = {"message": {"message": str(error), "extraInfo": extra}}
    Path(file).write_text(json.dumps(message), encoding="utf-8")


def _is_shared() -> bool:
    started = all(name in os.environ for name in _SET_BY_TORCHRUN)
    return started and os.environ["WORLD_SIZE"] != "1"
