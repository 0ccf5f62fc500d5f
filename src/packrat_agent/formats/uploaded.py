"""Keeps a browser from running a page that somebody has uploaded: it would have the landing page's origin.

Clients of packages take no notice of these headers, and a browser still shows texts and pictures and saves archives.

Source: Content Security Policy Level 3; HTML, "Sandboxing"; Fetch, "X-Content-Type-Options".
"""

from packrat_agent.formats.interface import WebServer

UPLOADED_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}
"""What is sent with a file that somebody has uploaded as it is."""

_SETS = {WebServer.NGINX: '        add_header {} "{}";', WebServer.APACHE: '        Header set {} "{}"'}


def uploaded_lines(server: WebServer) -> str:
    """Write the lines of a block that send these headers."""
    return "\n".join(_SETS[server].format(name, value) for name, value in UPLOADED_HEADERS.items())
