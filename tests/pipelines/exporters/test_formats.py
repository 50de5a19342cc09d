"""Tests for pipelines.exporters.formats: the table says what the modules do."""

from importlib import import_module
from pathlib import Path

import pytest

from pipelines.exporters.base import PlainDetector
from pipelines.exporters.formats import APPROXIMATE_SOFTMAX, FORMATS, Format

FOLDERS = [form for form in (*FORMATS.values(), APPROXIMATE_SOFTMAX) if form.file is None]


@pytest.mark.parametrize("form", FOLDERS, ids=lambda form: form.module)
def test_a_folder_has_the_files_of_the_table(
    form: Format, source: PlainDetector, tmp_path: Path
) -> None:
    """What may be replaced by another export is what an export writes."""
    import_module(f"pipelines.exporters.{form.module}").write(source, tmp_path)

    assert {file.name for file in tmp_path.iterdir()} == set(form.files)
