"""Renders the files at the top of root_dir, the landing page, public keys, and what clients ask the whole host for."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from packrat_agent.formats.interface import ClientSetup
from packrat_agent.model.key_places import MAIN_KEY, KeyPlace
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, Publication, TreeFile

SITE = Repo("", "", "", "site", ())
"""The top of root_dir, published like a repository."""

KEY_ARMORED = MAIN_KEY.armored
KEY_BINARY = MAIN_KEY.binary

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52em;margin:2em auto;padding:0 1em;color:#222}"
    "pre{background:#f4f4f4;padding:.8em;overflow:auto;border-radius:4px}h2{margin-top:2em}"
    ".kind{color:#777;font-weight:normal;font-size:.8em}.signed{color:#555}"
)


@dataclass(frozen=True, slots=True)
class Introduction:
    """A repository as the landing page introduces it.

    Attributes:
        setups: the lines that a user pastes on a client, the usual way first.
        signed: which files of it are signed; None if none is.
        key: where its public key is published; None if it has no signing key.
    """

    setups: Sequence[ClientSetup]
    signed: str | None
    key: KeyPlace | None = None


_NOTHING_SIGNED = "Nothing in it is signed: what clients get is as safe as the way to this site, so use https."


def render_site(
    description: str,
    repos: Sequence[Repo],
    introductions: Mapping[str, Introduction],
    key: tuple[bytes, bytes] | None,
    kept: Collection[str],
) -> Publication:
    """Render index.html, repo-key (armored) and repo-key.gpg (binary).

    Args:
        description: the mirror's description, the title of the page; '' for a general one.
        repos: the repositories, in the order of the page.
        introductions: name of a repository → its introduction.
        key: the main public key, (armored, binary); None if there is none.
        kept: the names of files that the operator maintains; they are left out.
    """
    files = []
    if key is not None:
        files += [TreeFile(KEY_ARMORED, Content.of(key[0])), TreeFile(KEY_BINARY, Content.of(key[1]))]
    page = _page(description, repos, introductions, signed=key is not None)
    files.append(TreeFile("index.html", Content.of(page.encode())))
    return _publication("site", files, kept)


OWN_KEYS = "keys"
"""Name of the publication with the keys of repositories that have one of their own."""


def list_own_keys(keys: Mapping[KeyPlace, tuple[bytes, bytes]]) -> list[TreeFile]:
    """List the files of public keys, (armored, binary) each, that are not the main key."""
    files = []
    for place, (armored, binary) in sorted(keys.items(), key=lambda item: item[0].armored):
        files += [TreeFile(place.armored, Content.of(armored)), TreeFile(place.binary, Content.of(binary))]
    return files


def list_further_files(name: str, files: Sequence[TreeFile], kept: Collection[str]) -> tuple[Publication, ...]:
    """Make a publication of further files at the top of root_dir; none if there are no files.

    Args:
        name: the name of the publication.
        files: its files.
        kept: the names of files that the operator maintains; they are left out.
    """
    publication = _publication(name, files, kept)
    return (publication,) if publication.pointers else ()


def _publication(name: str, files: Sequence[TreeFile], kept: Collection[str]) -> Publication:
    pointers = tuple(file for file in files if file.path not in kept)
    identity = hashlib.sha256()
    for file in pointers:
        identity.update(f"{file.path}\0{file.content.size}\0".encode() + bytes(file.content))
    return Publication(name, identity.hexdigest(), (), pointers)


def _page(description: str, repos: Sequence[Repo], introductions: Mapping[str, Introduction], *, signed: bool) -> str:
    title = escape(description or "Package mirror")
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>',
        f"<h1>{title}</h1>",
    ]
    own = [introduction.key for introduction in introductions.values() if introduction.key not in (None, MAIN_KEY)]
    if signed:
        unless = " Repositories with a key of their own name it." if own else ""
        parts.append(
            f"<p>The signing key: {_link(MAIN_KEY)}. Below, each repository says what is signed with it.{unless}</p>"
        )
    elif own:
        parts.append("<p>Below, each repository that is signed says what is signed, and with which key.</p>")
    else:
        parts.append("<p>The repositories here are not signed.</p>")
    for repo in repos:
        parts.append(
            f'<h2><a href="{escape(repo.directory, quote=True)}/">{escape(repo.name)}</a> '
            f'<span class="kind">{escape(repo.kind)}</span></h2>'
        )
        if repo.description:
            parts.append(f"<p>{escape(repo.description)}</p>")
        if (introduction := introductions.get(repo.name)) is not None:
            if signed or own:
                what = f"Signed: {introduction.signed}." if introduction.signed else _NOTHING_SIGNED
                parts.append(f'<p class="signed">{escape(what)}{_with_own_key(introduction)}</p>')
            for setup in introduction.setups:
                if setup.title:
                    parts.append(f"<p>{escape(setup.title)}</p>")
                parts.append(f"<pre>{escape(setup.lines)}</pre>")
    if not repos:
        parts.append("<p>No repositories yet.</p>")
    parts.append("</body></html>")
    return "\n".join(parts) + "\n"


def _with_own_key(introduction: Introduction) -> str:
    key = introduction.key
    return f" Its own key: {_link(key)}." if introduction.signed and key is not None and key != MAIN_KEY else ""


def _link(key: KeyPlace) -> str:
    armored, binary = escape(key.armored, quote=True), escape(key.binary, quote=True)
    return f'<a href="{armored}">{armored}</a> (<a href="{binary}">binary form</a>)'
