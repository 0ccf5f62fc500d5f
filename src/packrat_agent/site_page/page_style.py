"""The style of the site's pages, the landing page's script, and the policy that lets browsers run nothing else.

The style stands in each page, the script in a file of its own. A page names both by their hashes, and a browser ignores
any other, whatever text gets into a page.

Source: Content Security Policy Level 3, 6.7.3; Subresource Integrity.
"""

import base64
import hashlib
from importlib import resources

from packrat_agent.model.paths import PAGE_DIR


def _read(name: str) -> bytes:
    return (resources.files(__package__) / name).read_bytes()


def _source(content: bytes) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}"


STYLE = _read("page.css").decode()
SCRIPT = _read("page.js")
SCRIPT_PATH = f"{PAGE_DIR}/page-{hashlib.sha256(SCRIPT).hexdigest()[:16]}.js"
SCRIPT_SOURCE = _source(SCRIPT)
"""The script's hash, as the attribute `integrity` and the policy have it."""
LISTING_STYLE_PATH = f"{PAGE_DIR}/listing.css"
"""The style again, for listings of web servers that take an address of one."""

_STYLED = (
    f"default-src 'none'; style-src '{_source(STYLE.encode())}'; img-src data:; base-uri 'none'; form-action 'none'"
)
LISTING_POLICY = f"{_STYLED}; frame-ancestors 'none'"
"""Content-Security-Policy of a page without a script, as a header."""
PAGE_POLICY = (
    f"{_STYLED}; script-src '{SCRIPT_SOURCE}'; connect-src 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content-Security-Policy of the landing page, as it says it itself."""

HEAD = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
    f"<style>{STYLE}</style>"
)
"""What the head of each page begins with."""
