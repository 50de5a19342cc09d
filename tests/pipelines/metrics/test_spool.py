"""Tests for pipelines.metrics.spool."""

from contextlib import closing
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import RunError
from pipelines.metrics import spool
from pipelines.metrics.spool import KeyedSpool

DTYPE = np.dtype([("row", np.int64), ("score", "f8")])


@given(st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=6), st.integers(1, 8))
def test_records_come_back_by_key_in_their_order(blocks: list[list[int]], size: int) -> None:
    """However they are cut into blocks, no record is lost and none overtakes another."""
    keys = [key for block in blocks for key in block]
    with pytest.MonkeyPatch.context() as patch, closing(KeyedSpool(DTYPE, 4)) as records:
        patch.setattr(spool, "_ROWS_PER_BLOCK", size)
        row = 0
        for block in blocks:
            rows = row + np.arange(len(block))
            records.append(np.array(block, np.int64), row=rows, score=rows / 8)
            row += len(block)

        for key in range(4):
            expected = [place for place, own in enumerate(keys) if own == key]
            assert records.read(key)["row"].tolist() == expected
            assert records.read(key)["score"].tolist() == [place / 8 for place in expected]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_with_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with the variable that names another."""
    full = Path("/dev/full").open("wb")  # noqa: SIM115 - closed with the records
    monkeypatch.setattr(spool, "TemporaryFile", lambda prefix: full)
    with closing(KeyedSpool(DTYPE, 1)) as records:
        records.append(np.zeros(1, np.int64), row=np.zeros(1), score=np.zeros(1))

        with pytest.raises(RunError, match="No space left on device") as caught:
            records.read(0)

        assert caught.value.where == gettempdir()
        assert "TMPDIR" in (caught.value.mend or "")


def test_records_may_follow_after_some_were_read() -> None:
    """Reading writes what waits, and takes nothing away."""
    with closing(KeyedSpool(DTYPE, 2)) as records:
        for row in range(3):
            records.append(np.array([1]), row=np.array([row]), score=np.zeros(1))
            assert records.read(1)["row"].tolist() == list(range(row + 1))
        assert len(records.read(0)) == 0
