"""Reads CInP requests and writes CInP answers.

Source: CInP 0.9 to 2.0. Older clients match the names of headers case-sensitively, so answers write them in Title-Case.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from packrat_server.api.description import CINP_VERSION, Action, Model
from packrat_server.api.dialect import read_version
from packrat_server.api.json_body import parse_json
from packrat_server.api.schema import MODELS, describe_namespace

_URI = re.compile(
    r"/api/v2/(?P<space>(?:[A-Za-z]\w*/)*)(?P<model>[A-Za-z]\w*)?"
    r"(?P<ids>:(?:[0-9A-Za-z\-_.!~*<>+]*:)+)?(?:\((?P<action>[A-Za-z]\w*)\))?",
    re.ASCII,
)
_VERBS = frozenset({"DESCRIBE", "GET", "LIST", "CREATE", "UPDATE", "DELETE", "CALL", "OPTIONS"})
_JSON = "application/json;charset=utf-8"
_VERSION = "Cinp-Version"


class CinpError(Exception):
    """An answer other than success, with its status, JSON body and additional headers."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(body))
        self.status = status
        self.headers = headers
        self.body = {"message": body} if isinstance(body, str) else body


@dataclass(frozen=True, slots=True)
class CinpRequest:
    """A parsed request.

    Attributes:
        verb: GET, CALL and so on.
        path: The whole path.
        model: None where the path is that of a namespace.
        ids: The objects; None where the path names none.
        action: The action of the model or the objects.
        data: The JSON object of the body; empty where there is none.
        headers: Under lower-case names.
    """

    verb: str
    path: str
    model: Model | None
    ids: tuple[str, ...] | None
    action: Action | None
    data: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def version(self) -> str:
        """The version of CInP that the client speaks."""
        return read_version(self.headers) or CINP_VERSION

    @property
    def many(self) -> bool:
        """Whether the answer is a map by URI.

        Raises:
            CinpError: The client wants a single object and names several.
        """
        asked_for = self.headers.get("multi-object", "").lower()
        count = len(self.ids or ())
        if asked_for == "false" and count > 1:
            raise CinpError(400, "requested non multi-object, however multiple ids where sent")
        return asked_for == "true" or count > 1


def read_request(verb: str, path: str, headers: Mapping[str, str], body: bytes | bytearray) -> CinpRequest:
    """Parse a request.

    Args:
        verb: The method of the HTTP request.
        path: Its path, unquoted.
        headers: Its headers, under lower-case names.
        body: Its body.

    Returns:
        A request whose model and action exist and whose shape fits its verb.

    Raises:
        CinpError: It is malformed, or names what does not exist.
    """
    data = _read_body(headers, body)
    if verb != "OPTIONS" and read_version(headers) is None:
        raise CinpError(400, "Invalid CInP Protocol Version")
    match = _URI.fullmatch(path)
    if match is None:
        raise CinpError(400, f'Unable to Parse "{path[:300]}"')
    if verb not in _VERBS:
        raise CinpError(400, f'Invalid Verb (HTTP Method) "{verb[:30]}"')
    model, action = _find(match, path)
    ids = tuple(match["ids"].split(":")[1:-1]) if match["ids"] is not None else None
    request = CinpRequest(verb=verb, path=path, model=model, ids=ids, action=action, data=data or {}, headers=headers)
    _check_shape(request, data)
    return request


def _read_body(headers: Mapping[str, str], body: bytes | bytearray) -> Any:
    kind = headers.get("content-type", "")
    if kind and not kind.startswith("application/json"):
        raise CinpError(400, f'Unknown Content-Type "{kind[:100]}"')
    if not kind or not body:
        return None
    try:
        return parse_json(body)
    except ValueError as error:
        reason = str(error)[:200]
    # Not within the handler: the error would keep that of the parser, which keeps the text.
    raise CinpError(400, f'Error Parsing JSON Request data: "{reason}"')


def _find(match: re.Match[str], path: str) -> tuple[Model | None, Action | None]:
    namespace = f"/api/v2/{match['space']}"
    if match["model"] is None:
        if match["ids"] is not None or match["action"] is not None:
            raise CinpError(400, f'Unable to Parse "{path[:300]}"')
        if describe_namespace(namespace) is None:
            raise CinpError(404, f'path not found "{path[:300]}"')
        return None, None
    model = MODELS.get(namespace + match["model"])
    action = model.actions.get(match["action"]) if model is not None and match["action"] else None
    if model is None or (match["action"] and action is None):
        raise CinpError(404, f'path not found "{path[:300]}"')
    return model, action


def _check_shape(request: CinpRequest, data: Any) -> None:
    """Check that ids, action and data are there where the verb needs them, and only there."""
    verb = request.verb
    if verb in ("OPTIONS", "DESCRIBE"):
        return
    # The order of the checks is that of the original server, so that a request with two faults gets the same answer.
    if verb == "CALL":
        if request.action is None:
            raise CinpError(400, 'Verb "CALL" requires action')
    elif request.action is not None:
        raise CinpError(400, f'Invalid verb "{verb}" for request with action')
    if request.model is None:
        raise CinpError(400, f'Verb "{verb}" requires model')
    if verb in ("GET", "UPDATE", "DELETE") and request.ids is None:
        raise CinpError(400, f'Verb "{verb}" requires id')
    if verb in ("LIST", "CREATE") and request.ids is not None:
        raise CinpError(400, f'Invalid Verb "{verb}" for request with id')
    # A reason may come with DELETE, as with every change; the original server takes nothing with it.
    has_reason = verb == "DELETE" and isinstance(data, dict) and set(data) == {"reason"}
    if verb in ("GET", "DELETE") and data is not None and not has_reason:
        raise CinpError(400, f'Invalid verb "{verb}" for request with data')
    if data is not None and not isinstance(data, dict):
        raise CinpError(400, f"{verb} data must be a dict or None")


@dataclass(frozen=True, slots=True)
class JsonText:
    """A value that is written as JSON already, since many callers get it."""

    text: bytes


class CinpResponse(Response):
    """A JSON answer; its header names keep their capitals."""

    def __init__(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        content = _write(body)
        super().__init__(content, status)
        named = {_VERSION: CINP_VERSION, "Content-Type": _JSON, **(headers or {})}
        self.raw_headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in named.items()]
        self.raw_headers.append((b"Content-Length", str(len(content)).encode()))

    def name_version(self, version: str) -> None:
        """Name the version of CInP that the answer is written in; it is 0.9 unless this is called."""
        name = _VERSION.encode()
        self.raw_headers = [(key, version.encode() if key == name else value) for key, value in self.raw_headers]


def _write(body: Any) -> bytes:
    if isinstance(body, JsonText):
        return body.text
    return b"" if body is None else json.dumps(body).encode()
