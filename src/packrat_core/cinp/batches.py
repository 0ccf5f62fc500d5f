"""Splits lists of ids into requests that every server accepts."""

from collections.abc import Sequence

_REQUEST_LINE_LIMIT = 4000
_IDS_AT_ONCE = 100


def split_ids(model: str, ids: Sequence[str]) -> list[list[str]]:
    """Split ids, each once, so that a request has at most 100 of them and a request line that is not too long."""
    requests: list[list[str]] = []
    length = _REQUEST_LINE_LIMIT
    for object_id in dict.fromkeys(ids):
        length += len(object_id) + 1
        if length > _REQUEST_LINE_LIMIT or len(requests[-1]) >= _IDS_AT_ONCE:
            requests.append([])
            length = len(model) + len(object_id) + 20
        requests[-1].append(object_id)
    return requests
