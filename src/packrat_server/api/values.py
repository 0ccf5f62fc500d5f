"""Converts the arguments of calls and filters to what their description says.

Takes: JSON values, Parameters.
Gives: Python values by name; a Model argument becomes the object's id.
Touches: nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from packrat_server.api.messages import Fault
from packrat_server.api.schema import Parameter
from packrat_server.store.text import is_storable


def read_arguments(parameters: Sequence[Parameter], data: Mapping[str, Any]) -> dict[str, Any]:
    """Check and convert arguments; unknown ones are ignored.

    Raises: Fault with the fault of each wrong argument under its name.
    """
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for parameter in parameters:
        if parameter.name not in data:
            if parameter.optional:
                values[parameter.name] = parameter.default
            else:
                faults[parameter.name] = "Required Paramater"
            continue
        try:
            values[parameter.name] = _convert(parameter, data[parameter.name])
        except ValueError as error:
            faults[parameter.name] = f'Invalid Value "{error}"'
    if faults:
        raise Fault(400, faults)
    return values


def missing(uri: str, model: str) -> Fault:
    """The fault of an argument that names an object which is not there."""
    return Fault(
        400, {model.rpartition("/")[2].lower(): f'Invalid Value "Object "{uri}" for model "{model}" NotFound"'}
    )


def _convert(parameter: Parameter, value: Any) -> Any:
    if parameter.more.get("is_array"):
        if not value:
            return None
        if not isinstance(value, list):
            raise ValueError(f'Must be an Array/List, got "{type(value).__name__}"')
        return [_one(parameter, item) for item in value]
    return _one(parameter, value)


def _one(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, str) and not is_storable(value):
        raise ValueError("Unable to store as a str")
    match parameter.type:
        case "Integer":
            return _integer(value)
        case "Model":
            return _model_id(str(parameter.more["uri"]), value)
        case "File":
            return _handle(value)
        case _:
            return _text(value)


def _integer(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        number = None
    if number is None or abs(number) > 2**31:
        raise ValueError("Unable to convert to an int")
    return number


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise ValueError("Unable to convert to a str")
    text = str(value)
    if len(text) > 100_000:
        raise ValueError("Unable to store as a str")
    return text


def _model_id(model: str, value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/api/v2/") or not value.endswith(":"):
        raise ValueError(f'Unable to parse URI "{str(value)[:200]}"')
    path, _, rest = value.partition(":")
    if path != model:
        raise ValueError(f'Object "{value[:200]}" is for a model other than "{model}"')
    one = rest[:-1]
    if ":" in one:
        raise ValueError(f'Unable to parse URI "{value[:200]}"')
    return one


def _handle(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("djfh://"):
        raise ValueError("Unable to parse the URI of an upload, djfh://…")
    return value.removeprefix("djfh://")
