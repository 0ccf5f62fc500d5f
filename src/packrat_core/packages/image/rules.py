"""Checks that clients read a manifest and a configuration as they are read here; nearly all clients are written in Go.

1. Both are JSON in UTF-8 without a byte order mark, and without the NaN and Infinity that Python takes.
2. No key that is read is spelled in other letters: Go takes `Layers` for `layers`, and the last of both counts.
   Only what clients alone read, such as `Cmd`, may be: some tools write `cmd`.
   No key is there twice: of two lists or objects, Go mixes the values, and its next encoding/json refuses both.
3. Values have the types that clients give them: any other is an error to them, whatever the key is for.

    check_manifest(data)
    check_config(config)

Source: OCI Image Format Specification 1.1; Go's encoding/json; Docker Image Specification 1.2.
"""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Any, NoReturn

from packrat_core.errors import Refused

_SIZE_LIMIT = 2**63
_SHOWN_LIMIT = 60
_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-4]):[0-5]\d)", re.ASCII
)

_Check = Callable[[Any, str], None]


def check_manifest(data: bytes) -> None:
    """Check the form of a manifest or index.

    Raises:
        Refused: clients can't read it, or read something else in it.
    """
    _check_object(_parse(data, "image manifest"), "image manifest", _MANIFEST)


def check_config(config: bytes) -> None:
    """Check the form of an image's configuration.

    Raises:
        Refused: clients can't read it, or read something else in it.
    """
    _check_object(_parse(config, "configuration"), "configuration", _CONFIG)


def _parse(data: bytes, what: str) -> Any:
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_as_object)
    except _Doubled as error:
        raise Refused(f"its {what} has the key {str(error)[:_SHOWN_LIMIT]!r} twice in one object") from None
    except (ValueError, RecursionError):
        raise Refused(f"its {what} is not JSON in UTF-8 as clients read it") from None


class _Doubled(Exception):
    """A key that is twice in one object."""


def _as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _Doubled(next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1))
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _check_object(value: Any, what: str, checks: Mapping[str, _Check], *, any_case: bool = False) -> None:
    """Check the values of an object.

    Args:
        value: The object.
        what: What it is.
        checks: The check of each key.
        any_case: Whether a key may be spelled in other letters, but not twice: nobody but clients reads it.

    Raises:
        Refused: Clients can't read it, or read something else in it.
    """
    if not isinstance(value, dict):
        raise Refused(f"its {what} is not a JSON object")
    names, taken = {name.casefold(): name for name in checks}, set[str]()
    for key, below in value.items():
        name = key if key in checks else names.get(key.casefold())
        if name is None:
            continue
        if name in taken or (name != key and (not any_case or name in value)):
            raise Refused(f"its {what} has the key {key[:_SHOWN_LIMIT]!r}, which clients take for {name!r}")
        taken.add(name)
        # Clients take null for nothing.
        if below is not None:
            checks[name](below, f"{name} of its {what}")


def _object(checks: Mapping[str, _Check], *, any_case: bool = False) -> _Check:
    return lambda value, what: _check_object(value, what, checks, any_case=any_case)


def _list(check: _Check) -> _Check:
    def check_all(value: Any, what: str) -> None:
        if not isinstance(value, list):
            raise Refused(f"the {what} is not a list")
        for item in value:
            if item is not None:
                check(item, what)

    return check_all


def _text(value: Any, what: str) -> None:
    if not isinstance(value, str):
        raise Refused(f"the {what} is not text")


def _texts_by_name(value: Any, what: str) -> None:
    if not isinstance(value, dict):
        raise Refused(f"the {what} is not a JSON object")
    for text in value.values():
        if text is not None:
            _text(text, what)


def _objects_by_name(value: Any, what: str) -> None:
    _check_object(value, what, dict.fromkeys(value, _object({})) if isinstance(value, dict) else {})


def _flag(value: Any, what: str) -> None:
    if not isinstance(value, bool):
        raise Refused(f"the {what} is neither true nor false")


def _number(value: Any, what: str) -> None:
    if type(value) is not int or not 0 <= value < _SIZE_LIMIT:
        raise Refused(f"the {what} is not a number that clients can read")


def _whole(value: Any, what: str) -> None:
    if type(value) is not int or not -_SIZE_LIMIT <= value < _SIZE_LIMIT:
        raise Refused(f"the {what} is not a number that clients can read")


def _moment(value: Any, what: str) -> None:
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    try:
        year, month, day, hour, minute, second = map(int, match.groups()) if match is not None else (0,) * 6
        # Clients have a year 0, Python has none; 2000 has as many days.
        date(year or 2000, month, day)
        time(hour, minute, second)
    except ValueError:
        raise Refused(f"the {what} is not a date as clients read it") from None


def _descriptor(value: Any, what: str) -> None:
    _DESCRIBED(value, what)
    data = value.get("data")
    if data is None:
        return
    try:
        held = base64.b64decode(data, validate=True)
    except ValueError:
        raise Refused(f"the data in the {what} are not base64") from None
    if len(held) != value.get("size") or f"sha256:{hashlib.sha256(held).hexdigest()}" != value.get("digest"):
        raise Refused(f"the data in the {what} are not the bytes that it describes")


_PLATFORM = _object(
    {"architecture": _text, "os": _text, "os.version": _text, "os.features": _list(_text), "variant": _text}
)
_DESCRIBED = _object(
    {
        "mediaType": _text,
        "digest": _text,
        "size": _number,
        "urls": _list(_text),
        "annotations": _texts_by_name,
        "platform": _PLATFORM,
        "artifactType": _text,
        "data": _text,
    }
)
_MANIFEST: Mapping[str, _Check] = {
    "schemaVersion": _number,
    "mediaType": _text,
    "artifactType": _text,
    "config": _descriptor,
    "layers": _list(_descriptor),
    "manifests": _list(_descriptor),
    "subject": _descriptor,
    "annotations": _texts_by_name,
}
_HEALTH = _object(
    {
        "Test": _list(_text),
        **dict.fromkeys(("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"), _whole),
    },
    any_case=True,
)
_SETTINGS = _object(
    {
        **dict.fromkeys(("Hostname", "Domainname", "User", "Image", "WorkingDir", "MacAddress", "StopSignal"), _text),
        **dict.fromkeys(("Env", "Cmd", "Entrypoint", "OnBuild", "Shell"), _list(_text)),
        **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "OpenStdin", "StdinOnce", "Tty"), _flag),
        **dict.fromkeys(("ArgsEscaped", "NetworkDisabled"), _flag),
        **dict.fromkeys(("ExposedPorts", "Volumes"), _objects_by_name),
        "Healthcheck": _HEALTH,
        "Labels": _texts_by_name,
        "StopTimeout": _whole,
    },
    any_case=True,
)
_CONFIG: Mapping[str, _Check] = {
    **dict.fromkeys(("architecture", "os", "os.version", "variant", "author", "docker_version"), _text),
    "os.features": _list(_text),
    "created": _moment,
    "config": _SETTINGS,
    "container_config": _SETTINGS,
    "rootfs": _object({"type": _text, "diff_ids": _list(_text)}),
    "history": _list(
        _object(
            {"created": _moment, "created_by": _text, "author": _text, "comment": _text, "empty_layer": _flag},
        )
    ),
}
