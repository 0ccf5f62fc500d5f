"""Converts the arguments of calls and filters to the types that the API describes."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from packrat_server.api.description import ROOT, Parameter, uri
from packrat_server.api.messages import CinpError
from packrat_server.store.text import is_storable

_ID = re.compile(r"0|[1-9][0-9]{0,16}")
_INTEGER_LIMIT = 2**31
_TEXT_LIMIT = 100_000
_SHOWN_LENGTH = 60


def read_arguments(parameters: Sequence[Parameter], data: Mapping[str, Any]) -> dict[str, Any]:
    """Check and convert arguments; unknown ones are ignored, and null for an optional one is as if it were not given.

    Args:
        parameters: What the action or filter takes.
        data: What the caller sent.

    Returns:
        The values by name; the id of the object for a Model.

    Raises:
        CinpError: Arguments are wrong or missing; the body says under each name why.
    """
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for parameter in parameters:
        if parameter.optional and data.get(parameter.name) is None:
            values[parameter.name] = parameter.default
            continue
        if parameter.name not in data:
            errors[parameter.name] = "Required Paramater"
            continue
        try:
            values[parameter.name] = _convert(parameter, data[parameter.name])
        except ValueError as error:
            errors[parameter.name] = f'Invalid Value "{error}"'
    if errors:
        raise CinpError(400, errors)
    return values


def object_not_found(argument: str, model: str, object_id: str) -> CinpError:
    """Make the answer to an argument that names an object which does not exist.

    Args:
        argument: The name of the argument.
        model: The model of the object: `Attrib/Tag`.
        object_id: The id that was given.
    """
    reason = f'Object "{uri(model, object_id)}" for model "{ROOT}{model}" NotFound'
    return CinpError(400, {argument: f'Invalid Value "{reason}"'})


def parse_id(text: str) -> int | None:
    """Read the id of an object that has a number; None for what can't be one, such as `007` or more than 17 digits."""
    return int(text) if _ID.fullmatch(text) else None


def _convert(parameter: Parameter, value: Any) -> Any:
    if parameter.more.get("is_array"):
        if not value:
            return None
        if not isinstance(value, list):
            raise ValueError(f'Must be an Array/List, got "{type(value).__name__}"')
        return [_convert_value(parameter, item) for item in value]
    return _convert_value(parameter, value)


def _convert_value(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, str) and not is_storable(value):
        raise ValueError("Unable to store as a str: it holds a NUL or half a surrogate pair")
    match parameter.type:
        case "Integer":
            return _integer(value)
        case "Boolean":
            return _boolean(value)
        case "Model":
            return _model_id(str(parameter.more["uri"]), value)
        case "File":
            return _handle(value)
        case "Map":
            return _map(value)
        case _:
            return _text(value)


def _map(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(text, str) and is_storable(text) for text in value.values()):
        raise ValueError("Must be a Map of texts")
    return value


def _integer(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        number = None
    if number is None:
        # To the letter what the original server says.
        raise ValueError("Unable to convert to an int")
    if abs(number) > _INTEGER_LIMIT:
        raise ValueError(f"Unable to store as an int: {str(value)[:40]}, give {-_INTEGER_LIMIT} to {_INTEGER_LIMIT}")
    return number


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"Unable to convert to a bool: {_shown(value)}, give true or false")
    return value


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise ValueError(f"Unable to convert to a str: {_shown(value)}, give a text")
    text = str(value)
    if len(text) > _TEXT_LIMIT:
        raise ValueError(f"Unable to store as a str: it has {len(text)} characters, give up to {_TEXT_LIMIT}")
    return text


def read_id(model: str, value: Any) -> str:
    """Read the id of an object from its URI; model: `Repo/Repo`.

    Raises:
        ValueError: It is not the URI of an object of this model.
    """
    return _model_id(ROOT + model, value)


def _model_id(model: str, value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/api/v2/") or not value.endswith(":"):
        raise ValueError(f'Unable to parse URI "{str(value)[:200]}"')
    path, _, rest = value.partition(":")
    if path != model:
        raise ValueError(f'Object "{value[:200]}" is for a model other than "{model}"')
    object_id = rest[:-1]
    if ":" in object_id:
        raise ValueError(f'Unable to parse URI "{value[:200]}"')
    return object_id


def _handle(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("djfh://"):
        raise ValueError(f"Unable to parse URI of an upload: {_shown(value)}, give what /api/upload answered, djfh://…")
    return value.removeprefix("djfh://")


def _shown(value: Any) -> str:
    """Write what was given, or the beginning of it."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"
