"""Writes the landing page: the repositories of the mirror, their keys, how clients use them, and a search of packages.

It can be read without its script (`page.js`), which fills in the address, tells how long ago, copies lines and
searches the lists of packages.
"""

from collections.abc import Sequence
from html import escape

from packrat_agent.formats.shell_text import PLACEHOLDER
from packrat_agent.model.key_places import MAIN_KEY
from packrat_agent.site_page.page_style import HEAD, PAGE_POLICY, SCRIPT_PATH, SCRIPT_SOURCE
from packrat_agent.site_page.repository_section import (
    Introduction,
    KeyShown,
    write_key,
    write_section,
    write_time,
)

_SEARCH = """\
<section id="packages" hidden>
<h2>Packages</h2>
<form id="search" role="search">
<label>Find a package by its name<input id="words" type="search" autocomplete="off" spellcheck="false"></label>
<label>In<select id="within"><option value="">all repositories</option></select></label>
</form>
<p id="status" role="status"></p>
<table id="found" class="stacked" hidden>
<caption>Packages found</caption>
<thead><tr><th scope="col">Package</th><th scope="col">Version</th><th scope="col">Release</th>
<th scope="col">Architecture</th><th scope="col">Repository</th></tr></thead>
<tbody></tbody>
</table>
</section>
<noscript><p class="note">Searching the packages needs JavaScript. Each repository's directory, which its heading leads
to, has the files themselves.</p></noscript>"""

_NO_ADDRESS = (
    f'<p class="address-note">In the lines below, put the address of this site in the place of {PLACEHOLDER}.</p>'
)


def write_page(description: str, introductions: Sequence[Introduction], key: KeyShown | None) -> str:
    """Write the page.

    Args:
        description: the mirror's description, the title of the page; '' for a general one.
        introductions: the repositories, in the order of the page.
        key: the main key; None if there is none.
    """
    title = escape(description or "Package mirror")
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head>',
        # Before anything that it is about.
        f'<meta http-equiv="Content-Security-Policy" content="{escape(PAGE_POLICY, quote=False)}">',
        f"{HEAD}<title>{title}</title>",
        f'<script src="{SCRIPT_PATH}" integrity="{SCRIPT_SOURCE}" defer></script>',
        f"</head><body><main><h1>{title}</h1>",
        f"<p>{_tell_key(introductions, key)}</p>",
    ]
    if introductions:
        parts += _write_overview(introductions)
    else:
        parts.append("<p>No repositories yet.</p>")
    if any(introduction.packages is not None for introduction in introductions):
        parts.append(_SEARCH)
    if any(introduction.with_tls for introduction in introductions):
        parts.append(_NO_ADDRESS)
    for introduction in introductions:
        parts += write_section(introduction)
    parts.append('<p id="told" role="status"></p></main></body></html>')
    return "\n".join(parts) + "\n"


def _tell_key(introductions: Sequence[Introduction], main: KeyShown | None) -> str:
    has_own = any(shown.key is not None and shown.key.place != MAIN_KEY for shown in introductions)
    if main is not None:
        unless = " Repositories with a key of their own name it." if has_own else ""
        return (
            f"The signing key: {write_key(main)}. Below, each repository says what is signed with it.{unless} "
            "Compare the fingerprint with one that did not come from this site."
        )
    if has_own:
        return "Below, each repository that is signed says what is signed, and with which key."
    return "The repositories here are not signed."


def _write_overview(introductions: Sequence[Introduction]) -> list[str]:
    """Write a table of the repositories that leads to their sections."""
    rows = []
    for introduction in introductions:
        repo = introduction.repo
        by = ("key", "signed") if introduction.signed else ("hash", "checked by hash")
        packages = "" if introduction.packages is None else f"{introduction.packages:,}"
        moment = "" if introduction.published_at is None else write_time(introduction.published_at)
        rows.append(
            f'<tr><th scope="row"><a href="#{escape(introduction.anchor, quote=True)}">{escape(repo.name)}</a></th>'
            f'<td data-label="Type">{escape(repo.kind)}</td><td data-label="Packages">{packages}</td>'
            f'<td><span class="mark {by[0]}">{by[1]}</span></td><td data-label="Published">{moment}</td></tr>'
        )
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Repository", "Type", "Packages", "Trust", "Published"))
    return [
        f'<table class="stacked"><caption>Repositories</caption><thead><tr>{heads}</tr></thead>',
        f"<tbody>{''.join(rows)}</tbody></table>",
    ]
