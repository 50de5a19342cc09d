"""Settings from a TOML file, assignments and flags, with messages that say how to mend them."""

import copy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from pipelines.config.problems import as_config_error, value_at
from pipelines.config.training import TrainSettings
from pipelines.errors import ConfigError, DatasetError

_REQUIRED = ("classifier", "data.boxes")
_NOT_GIVEN, _UNSET = "required, and not given", "unset, as it may be"


def load_settings(
    file: Path | None = None,
    assignments: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    *,
    scaled: bool = False,
    forget: Sequence[str] = (),
) -> TrainSettings:
    """Merge a TOML file, ``a.b=c`` assignments and flags; the later win.

    Args:
        file: Settings file; relative paths in it are relative to the working directory.
        assignments: ``key.path=value`` with a TOML value; what is no TOML value is a string.
        flags: ``key.path`` to value; None means that the flag was not given.
        scaled: Fit all that to the batch size, see :meth:`TrainSettings.scaled_to_batch`.
        forget: ``key.path`` of settings that do not count if they are in the file.

    Raises:
        ConfigError: On an unknown key (names the nearest valid one), a bad value, or bad syntax.
        DatasetError: If the file cannot be read.
    """
    return _validate_given(*_merge(file, assignments, flags, forget), file, scaled=scaled)


def show_settings(
    file: Path | None = None,
    assignments: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    *,
    scaled: bool = False,
) -> str:
    """Return all settings as the text of a settings file; the arguments are of load_settings.

    What is required but not given, or None, is a comment in its place.

    Raises:
        WTNError: As :func:`load_settings`, but not for a missing setting.
    """
    tree, from_file = _merge(file, assignments, flags)
    for key in _REQUIRED:
        *groups, name = key.split(".")
        group = value_at(tree, groups)
        if group is None or (isinstance(group, Mapping) and name not in group):
            _assign(tree, key, _NOT_GIVEN)
    settings = _validate_given(tree, from_file, file, scaled=scaled).model_dump(mode="json")
    text = tomli_w.dumps(_with_unset(settings)).rstrip("\n")
    lines = text.split("\n")  # and nowhere else: a value may hold other ends of lines
    return "\n".join(map(_as_comment, lines))


def _with_unset(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with a word for None, which TOML has not."""
    groups = {
        name: _with_unset(group) for name, group in tree.items() if isinstance(group, Mapping)
    }
    unset = {name: _UNSET for name, value in tree.items() if value is None}
    return {**tree, **groups, **unset}


def _as_comment(line: str) -> str:
    """Return a line of TOML, as a comment if its setting has no value."""
    if line.endswith(f' = "{_UNSET}"'):
        return f"# {line.partition(' = ')[0]} = unset"
    return f"# {line}" if line.endswith(f' = "{_NOT_GIVEN}"') else line


def _merge(
    file: Path | None,
    assignments: Sequence[str],
    flags: Mapping[str, Any] | None,
    forget: Sequence[str] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return all that is given, and what of it stands in the file."""
    tree = _read_file(file) if file else {}
    for key in forget:
        *groups, name = key.split(".")
        if isinstance(group := value_at(tree, groups), dict):
            group.pop(name, None)
    from_file = copy.deepcopy(tree)
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigError(
                f"--set {assignment}: expected KEY=VALUE, for example schedule.steps=[100]"
            )
        _assign(tree, key.strip(), _toml_value(text.strip()))
    for key, value in (flags or {}).items():
        if value is not None:
            _assign(tree, key, value)
    return tree, from_file


def validate_settings(
    tree: Mapping[str, Any],
    file: Path | None = None,
    from_file: Mapping[str, Any] | None = None,
) -> TrainSettings:
    """Return the settings in a nested mapping.

    Args:
        tree: All settings.
        file: Where some of them were read, for the message.
        from_file: Those that were read there.

    Raises:
        ConfigError: As :func:`load_settings`.
    """
    try:
        return TrainSettings.model_validate(tree)
    except ValidationError as error:
        raise as_config_error(error, file, from_file or {}) from error


def _validate_given(
    tree: Mapping[str, Any], from_file: Mapping[str, Any], file: Path | None, *, scaled: bool
) -> TrainSettings:
    """Return what a user gave as settings; what changes nothing is refused here.

    Stored settings may hold it: it did no harm to what was made with them.
    """
    settings = validate_settings(tree, file, from_file)
    head, zsd = settings.head, settings.head.zsd
    idle = head.method == "zsd" and zsd.mode == "sigmoid"
    if idle and zsd.margin != type(zsd).model_fields["margin"].default:
        raise ConfigError(
            "head.zsd.margin changes nothing where head.zsd.mode is sigmoid",
            where=file if value_at(from_file, ("head", "zsd", "margin")) == zsd.margin else None,
            mend="Leave it out, or set head.zsd.mode to margin.",
        )
    return settings.scaled_to_batch() if scaled else settings


def _read_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text()
        return tomllib.loads(text)
    except OSError as error:
        raise DatasetError(f"the settings cannot be read ({error.strerror})", where=file) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be parsed: {error}", where=file) from error


def _toml_value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _assign(tree: dict[str, Any], key: str, value: object) -> None:
    *groups, last = key.split(".")
    for group in groups:
        tree = tree.setdefault(group, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key}: {group!r} is a setting, not a group of settings")
    tree[last] = value
