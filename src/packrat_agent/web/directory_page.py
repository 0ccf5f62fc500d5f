"""Writes the listing of a directory, in the look of the landing page; it has no script."""

import os
import stat
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote, unquote_to_bytes

from packrat_agent.site_page.page_style import HEAD, LISTING_POLICY
from packrat_core.fs.file_times import mtime_s

HEADERS = {"Content-Security-Policy": LISTING_POLICY, "X-Content-Type-Options": "nosniff"}
"""The headers of a listing."""

_HEADS = "".join(f'<th scope="col">{head}</th>' for head in ("Name", "Last changed", "Bytes"))
_UP = '<tr><th scope="row" class="mono"><a href="../">../</a></th><td></td><td></td></tr>'


def write_listing(listed: Iterable[tuple[str, os.stat_result]], raw: str, more: int) -> str:
    """Write the page.

    Args:
        listed: The names to show in their order, each with what it leads to.
        raw: The directory's path as it came in the request.
        more: Number of the names that are not shown.
    """
    rows = []
    for name, status in listed:
        end = "/" if stat.S_ISDIR(status.st_mode) else ""
        size = "" if end else str(status.st_size)
        moment = datetime.fromtimestamp(mtime_s(status), UTC).strftime("%Y-%m-%d %H:%M")
        rows.append(
            f'<tr><th scope="row" class="mono"><a href="./{quote(name, safe="+~@=,")}{end}">{escape(name)}{end}</a>'
            f'</th><td data-label="Last changed">{moment}</td><td data-label="Bytes" class="size">{size}</td></tr>'
        )
    note = f"{more} more are not shown. " if more else ""
    shown = escape(unquote_to_bytes(raw).decode("utf-8", "replace"))
    up = _UP if raw.strip("/") else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{HEAD}<title>{shown}</title></head><body><main><h1>{shown}</h1>'
        f'<table class="stacked listing"><thead><tr>{_HEADS}</tr></thead><tbody>{up}{"".join(rows)}</tbody></table>'
        f'<p class="note">{note}Times are in UTC.</p></main></body></html>\n'
    )
