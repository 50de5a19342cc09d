"""Import modules of a foreign checkout without the packages that they name but do not need."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from pipelines.errors import ConfigError


def require_files(checkout: Path, files: Iterable[str], repository: str) -> None:
    """Raise ConfigError if a folder lacks a file of the repository that it should be."""
    missing = [file for file in files if not (checkout / file).is_file()]
    if missing:
        raise ConfigError(
            f"not a checkout of {repository}: it has no {missing[0]}",
            where=checkout,
            mend=f"git clone --depth 1 https://github.com/{repository}",
        )


def stand_in(name: str, /, **members: object) -> ModuleType:
    """Return a module that holds nothing but ``members``."""
    module = ModuleType(name)
    vars(module).update(members)
    return module


def bare_package(name: str, folder: Path) -> ModuleType:
    """Return a package whose modules lie in ``folder`` and whose ``__init__.py`` never runs."""
    return stand_in(name, __path__=[str(folder)])


@contextmanager
def imports_from(folder: Path, stand_ins: Iterable[ModuleType]) -> Iterator[None]:
    """Find modules in ``folder`` first, and stand-ins before all others, while the block runs."""
    modules = {module.__name__: module for module in stand_ins}
    hidden = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in modules:
            del sys.modules[name]
        sys.modules.update(hidden)
