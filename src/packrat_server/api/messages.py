"""Reads CInP requests and writes CInP answers.

Takes: verb, path, headers and body of an HTTP request.
Gives: Asked, or a Fault; HTTP answers with Title-Case header names.
Touches: nothing.

Source: CInP 0.9; older clients match header names case-sensitively.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from packrat_server.api.json_body import parse_json
from packrat_server.api.schema import CINP_VERSION, MODELS, Action, Model, describe_namespace

_URI = re.compile(
    r"/api/v2/(?P<space>(?:[A-Za-z]\w*/)*)(?P<model>[A-Za-z]\w*)?"
    r"(?P<ids>:(?:[0-9A-Za-z\-_.!~*<>+]*:)+)?(?:\((?P<action>[A-Za-z]\w*)\))?",
    re.ASCII,
)
_VERBS = frozenset({"DESCRIBE", "GET", "LIST", "CREATE", "UPDATE", "DELETE", "CALL", "OPTIONS"})
_JSON = "application/json;charset=utf-8"


class Fault(Exception):
    """An answer that is not a success: status, JSON body, more headers."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(body))
        self.status = status
        self.headers = headers
        self.body = {"message": body} if isinstance(body, str) else body


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, parsed: a namespace (model None), a model, objects by `ids`, or an action of them."""

    verb: str
    path: str
    model: Model | None
    ids: tuple[str, ...] | None
    action: Action | None
    data: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def many(self) -> bool:
        """Whether the answer is a map by URI."""
        wanted = self.headers.get("multi-object", "").lower()
        count = len(self.ids or ())
        if wanted == "false" and count > 1:
            raise Fault(400, "requested non multi-object, however multiple ids where sent")
        return wanted == "true" or count > 1


def read_request(verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Asked:
    """Parse a request; headers under lower-case names.

    Raises: Fault
    """
    data = _read_body(headers, body)
    if verb != "OPTIONS" and headers.get("cinp-version") != CINP_VERSION:
        raise Fault(400, "Invalid CInP Protocol Version")
    match = _URI.fullmatch(path)
    if match is None:
        raise Fault(400, f'Unable to Parse "{path[:300]}"')
    if verb not in _VERBS:
        raise Fault(400, f'Invalid Verb (HTTP Method) "{verb[:30]}"')
    model, action = _find(match, path)
    ids = tuple(match["ids"].split(":")[1:-1]) if match["ids"] is not None else None
    asked = Asked(verb, path, model, ids, action, data or {}, headers)
    _check_shape(asked, data)
    return asked


def _read_body(headers: Mapping[str, str], body: bytes) -> Any:
    kind = headers.get("content-type", "")
    if kind and not kind.startswith("application/json"):
        raise Fault(400, f'Unknown Content-Type "{kind[:100]}"')
    if not kind or not body:
        return None
    try:
        return parse_json(body)
    except ValueError as error:
        raise Fault(400, f'Error Parsing JSON Request data: "{str(error)[:200]}"') from None


def _find(match: re.Match[str], path: str) -> tuple[Model | None, Action | None]:
    where = f"/api/v2/{match['space']}"
    if match["model"] is None:
        if match["ids"] is not None or match["action"] is not None:
            raise Fault(400, f'Unable to Parse "{path[:300]}"')
        if describe_namespace(where) is None:
            raise Fault(404, f'path not found "{path[:300]}"')
        return None, None
    model = MODELS.get(where + match["model"])
    action = model.actions.get(match["action"]) if model is not None and match["action"] else None
    if model is None or (match["action"] and action is None):
        raise Fault(404, f'path not found "{path[:300]}"')
    return model, action


def _check_shape(asked: Asked, data: Any) -> None:
    verb = asked.verb
    if verb in ("OPTIONS", "DESCRIBE"):
        return
    if verb == "CALL":
        if asked.action is None:
            raise Fault(400, 'Verb "CALL" requires action')
    elif asked.action is not None:
        raise Fault(400, f'Invalid verb "{verb}" for request with action')
    if asked.model is None:
        raise Fault(400, f'Verb "{verb}" requires model')
    if verb in ("GET", "UPDATE", "DELETE") and asked.ids is None:
        raise Fault(400, f'Verb "{verb}" requires id')
    if verb in ("LIST", "CREATE") and asked.ids is not None:
        raise Fault(400, f'Invalid Verb "{verb}" for request with id')
    if verb in ("GET", "DELETE") and data is not None:
        raise Fault(400, f'Invalid verb "{verb}" for request with data')
    if data is not None and not isinstance(data, dict):
        raise Fault(400, f"{verb} data must be a dict or None")


class CinpResponse(Response):
    """A JSON answer; its header names keep their capitals."""

    def __init__(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        super().__init__(content, status)
        named = {"Cinp-Version": CINP_VERSION, "Content-Type": _JSON, **(headers or {})}
        self.raw_headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in named.items()]
        self.raw_headers.append((b"Content-Length", str(len(content)).encode()))
