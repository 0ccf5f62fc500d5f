"""Asks a web server for a file as a client does, with bounds on time and size, and through no proxy."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

_TIMEOUT_S = 10.0
_LIMIT = 64 << 20


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer: its status, its headers by names in lower case, its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """Return a header without its parameters; '' where it is missing."""
        return self.headers.get(name, "").partition(";")[0].strip()


@dataclass(frozen=True, slots=True)
class Unanswered:
    """There was no answer, and why."""

    reason: str


def fetch(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Answered | Unanswered:
    """Ask for a URL, http or https.

    Args:
        url: What to ask for.
        headers: Headers of the request beside the usual ones.
        method: HEAD asks for the headers of the answer alone.
    """
    # The variables of the environment are those of the user who asks, not of the clients.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    all_headers = {"User-Agent": "packrat-agent doctor", **(headers or {})}
    request = urllib.request.Request(url, headers=all_headers, method=method)  # noqa: S310 http(s)
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            return _read(response, response.status)
    except urllib.error.HTTPError as error:
        with error:
            return _read(error, error.code)
    except urllib.error.URLError as error:
        reason = error.reason
        return Unanswered(reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Unanswered(str(error) or type(error).__name__)


def _read(response: "http.client.HTTPResponse | urllib.error.HTTPError", status: int) -> Answered | Unanswered:
    try:
        body = response.read(_LIMIT + 1)
    except (OSError, http.client.HTTPException) as error:
        return Unanswered(f"the answer broke off: {error}")
    if len(body) > _LIMIT:
        return Unanswered(f"it answers with more than {_LIMIT} bytes")
    return Answered(status, {name.lower(): value for name, value in response.headers.items()}, body)
