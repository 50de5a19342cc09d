"""What is wrong with settings, told with the key, the file and a way out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pipelines.config.training import TrainSettings
from pipelines.errors import ConfigError, did_you_mean


def as_config_error(
    error: ValidationError, file: Path | None, from_file: Mapping[str, Any]
) -> ConfigError:
    """Report the first problem; an unknown key before a missing one, which it may explain.

    The file is blamed only for what stands in it.
    """
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    where = file if value_at(from_file, first["loc"]) == first["input"] else None
    if first["type"] == "extra_forbidden":
        return ConfigError(f"unknown setting {key!r}", where=where, mend=_known_keys(first["loc"]))
    if first["type"] == "missing":
        return ConfigError(
            f"the setting {key!r} is missing",
            mend=f"Give it with a flag, in the settings file, or with --set {key}=...",
        )
    message = first["msg"].removeprefix("Value error, ")
    given = (
        f" (given: {first['input']!r})"
        if not isinstance(first["input"], Mapping | BaseModel)
        else ""
    )
    return ConfigError(f"bad value for {key or 'the settings'}: {message}{given}", where=where)


def _known_keys(location: Sequence[int | str]) -> str:
    """Return the keys beside an unknown one, after its own place or the nearest of them."""
    *groups, last = location
    known = sorted(_group_at(groups).model_fields)
    elsewhere = [repr(key) for key in _keys(TrainSettings) if key.split(".")[-1] == last]
    nearest = f"Did you mean {' or '.join(elsewhere)}?" if elsewhere else None
    nearest = nearest or did_you_mean(str(last), known)
    return " ".join(filter(None, [nearest, f"Valid keys here: {', '.join(known)}."]))


def _keys(group: type[BaseModel]) -> Iterator[str]:
    """Yield the key of each setting, with the groups that it is in."""
    for name, field in group.model_fields.items():
        yield name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{name}.{key}" for key in _keys(field.annotation))


def value_at(tree: Mapping[str, Any], location: Sequence[int | str]) -> Any:  # noqa: ANN401
    """Return what is at a place of nested mappings, or None."""
    value: Any = tree
    for part in location:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _group_at(location: Sequence[int | str]) -> type[BaseModel]:
    group: type[BaseModel] = TrainSettings
    for part in location:
        annotation = group.model_fields[str(part)].annotation
        assert isinstance(annotation, type)
        group = annotation
    return group
