"""Lets pages of other origins call the API from a browser, as far as the operator allows their origin.

A browser sends the header Origin, and shows the answer to the page only if the answer allows that origin. The API needs
no cookies: a page can do what its user's token allows, and nothing without one that a stranger could not.

Source: WHATWG, Fetch, "CORS protocol".
"""

from starlette.types import Message, Scope, Send

from packrat_server.api.serve_options import ServeOptions

ALLOWED_HEADERS = (
    "Accept, Cinp-Version, Auth-Id, Auth-Token, Filter, Content-Type, Count, Position, Multi-Object, Id-Only"
)
_UPLOAD_HEADERS = f"{ALLOWED_HEADERS}, Content-Disposition, Range"
_EXPOSED_HEADERS = b"Cinp-Version, Verb, Type, Count, Position, Total, Multi-Object, Object-Id, Id-Only, Retry-After"


def find_allowed(scope: Scope, options: ServeOptions) -> str | None:
    """Find what the answer allows: the origin of the page, or `*`; None where it is not allowed or there is no page."""
    if not options.cors_origins:
        return None
    origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
    if not origin or "*" in options.cors_origins:
        return "*" if origin else None
    return origin if origin in options.cors_origins else None


def allowing(send: Send, allowed: str | None) -> Send:
    """Allow an origin in the answer."""
    if allowed is None:
        return send

    added = (
        (b"Access-Control-Allow-Origin", allowed.encode("latin-1")),
        (b"Access-Control-Expose-Headers", _EXPOSED_HEADERS),
        # A cache must not give the answer to pages of another origin.
        (b"Vary", b"Origin"),
    )

    async def allow(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return allow


def preflight_headers(verbs: str) -> dict[str, str]:
    """The answer to the question of a browser before it uploads or downloads; verbs: `OPTIONS, POST`."""
    return {
        "Allow": verbs,
        "Access-Control-Allow-Methods": verbs,
        "Access-Control-Allow-Headers": _UPLOAD_HEADERS,
    }
