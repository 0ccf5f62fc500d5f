"""Renders the files at the top of root_dir, the landing page and the public key, as a tree of one publication."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from packrat_agent.formats.interface import ClientSetup
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, Publication, Tree, TreeFile

SITE = Repo("", "", "", "site", ())
"""The top of root_dir, published like a repository."""

KEY_ARMORED = "repo-key"
KEY_BINARY = "repo-key.gpg"

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
    """

    setups: Sequence[ClientSetup]
    signed: str | None


_NOTHING_SIGNED = "Nothing in it is signed: what clients get is as safe as the way to this site, so use https."


def render_site(
    description: str,
    repos: Sequence[Repo],
    introductions: Mapping[str, Introduction],
    key: tuple[bytes, bytes] | None,
    kept: Collection[str],
) -> Tree:
    """Render index.html, repo-key (armored) and repo-key.gpg (binary).

    Args:
        description: the mirror's description, the title of the page; '' for a general one.
        repos: the repositories, in the order of the page.
        introductions: name of a repository → its introduction.
        key: the public key, (armored, binary); None if the mirror does not sign.
        kept: the names of files that the operator maintains; they are left out.
    """
    files = []
    if key is not None:
        files += [TreeFile(KEY_ARMORED, Content.of(key[0])), TreeFile(KEY_BINARY, Content.of(key[1]))]
    page = _page(description, repos, introductions, signed=key is not None)
    files.append(TreeFile("index.html", Content.of(page.encode())))
    pointers = tuple(file for file in files if file.path not in kept)
    return Tree(SITE, (_publication("site", pointers),))


def add_to_site(tree: Tree, name: str, files: Sequence[TreeFile], kept: Collection[str]) -> Tree:
    """Add a publication of further files to the top of root_dir.

    Args:
        tree: the tree of the site.
        name: the name of the publication.
        files: its files.
        kept: the names of files that the operator maintains; they are left out.
    """
    pointers = tuple(file for file in files if file.path not in kept)
    return Tree(tree.repo, (*tree.publications, _publication(name, pointers))) if pointers else tree


def _publication(name: str, pointers: tuple[TreeFile, ...]) -> Publication:
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
    if signed:
        parts.append(
            f'<p>The signing key: <a href="{KEY_ARMORED}">{KEY_ARMORED}</a> '
            f'(<a href="{KEY_BINARY}">binary form</a>). Below, each repository says what is signed with it.</p>'
        )
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
            if signed:
                what = f"Signed: {introduction.signed}." if introduction.signed else _NOTHING_SIGNED
                parts.append(f'<p class="signed">{escape(what)}</p>')
            for setup in introduction.setups:
                if setup.title:
                    parts.append(f"<p>{escape(setup.title)}</p>")
                parts.append(f"<pre>{escape(setup.lines)}</pre>")
    if not repos:
        parts.append("<p>No repositories yet.</p>")
    parts.append("</body></html>")
    return "\n".join(parts) + "\n"
