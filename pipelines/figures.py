"""Figures that become PNG files; they need matplotlib, the extra ``plots``.

They are drawn without matplotlib's global state, so nothing is left open and no display is needed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError
from pipelines.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZE = (7.0, 4.5)  # inches
_DPI = 150


def require_matplotlib() -> None:
    """Raise ConfigError if the extra is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "plots need matplotlib, the extra plots", mend="Install it: pip install matplotlib"
        ) from error


@contextmanager
def figure_file(
    path: Path, size: tuple[float, float] = _SIZE, heading: str = ""
) -> "Iterator[Figure]":
    """Yield a figure of a width and a height in inches, which becomes a PNG file at the end."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    if heading:
        figure.suptitle(heading, fontsize="medium")
    yield figure
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
