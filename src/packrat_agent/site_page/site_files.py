"""Lists the files at the top of root_dir: the landing page and what belongs to it, and public keys."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from packrat_agent.model.key_places import MAIN_KEY, KeyPlace
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, Publication, TreeFile
from packrat_agent.site_page.landing_page import write_page
from packrat_agent.site_page.page_style import LISTING_STYLE_PATH, SCRIPT, SCRIPT_PATH, STYLE
from packrat_agent.site_page.repository_section import Introduction, KeyShown

SITE = Repo("", "", "", "site", ())
"""The top of root_dir, published like a repository."""

LANDING_PAGE = "index.html"
KEY_ARMORED = MAIN_KEY.armored
KEY_BINARY = MAIN_KEY.binary

OWN_KEYS = "keys"
"""Name of the publication with the keys of repositories that have one of their own."""


@dataclass(frozen=True, slots=True)
class MainKey:
    """The main public key in both forms, and as the page shows it."""

    armored: bytes
    binary: bytes
    shown: KeyShown


def render_site(
    description: str,
    introductions: Sequence[Introduction],
    key: MainKey | None,
    kept: Collection[str],
) -> Publication:
    """Render the landing page with its script, repo-key (armored) and repo-key.gpg (binary).

    Args:
        description: the mirror's description, the title of the page; '' for a general one.
        introductions: the repositories, in the order of the page.
        key: the main public key, None if there is none.
        kept: the names of files that the operator maintains; they are left out.
    """
    files = []
    if key is not None:
        files += [TreeFile(KEY_ARMORED, Content.of(key.armored)), TreeFile(KEY_BINARY, Content.of(key.binary))]
    files.append(TreeFile(LISTING_STYLE_PATH, Content.of(STYLE.encode())))
    page = write_page(description, introductions, key.shown if key is not None else None)
    files.append(TreeFile(LANDING_PAGE, Content.of(page.encode())))
    # The page names it by its hash, so it is there first, and stays while an earlier page may still be read.
    return _publication("site", files, kept, [TreeFile(SCRIPT_PATH, Content.of(SCRIPT))])


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


def _publication(
    name: str, files: Sequence[TreeFile], kept: Collection[str], content: Sequence[TreeFile] = ()
) -> Publication:
    pointers = tuple(file for file in files if file.path not in kept)
    identity = hashlib.sha256()
    for file in (*content, *pointers):
        identity.update(f"{file.path}\0{file.content.size}\0".encode() + bytes(file.content))
    return Publication(name, identity.hexdigest(), tuple(content), pointers)
