"""Publishes the files of the site itself: the landing page, its lists of packages, and the public keys."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import structlog

from packrat_agent.formats.docker.layout import CATALOG, KIND, public_prefix
from packrat_agent.formats.shell_text import PLACEHOLDER
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.key_places import MAIN_KEY
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Touched, TreeFile
from packrat_agent.publish.signing import declare_unsigned
from packrat_agent.site_page.repository_section import Images, Introduction, KeyShown
from packrat_agent.site_page.site_files import (
    OWN_KEYS,
    SITE,
    MainKey,
    list_further_files,
    list_own_keys,
    render_site,
)
from packrat_agent.sync.collect import remove_old_indexes
from packrat_agent.sync.commit import make_live
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.landing.package_lists import render_lists
from packrat_agent.sync.roll_forward import roll_forward

log = structlog.get_logger()


def keep_site(context: MirrorContext) -> None:
    """Publish the site's own files, and withdraw the repositories that left the mirror.

    Raises:
        DiskError: root_dir or the state database can't be written.
    """
    store = context.store
    repos = store.repos.all()
    publish_site(context)
    present = {repo.name for repo in repos} | {SITE.name}
    for name in store.live.published_repos() - present:
        log.info("left", repo=name, text="no longer on the mirror; removed after the grace period")
        store.events.add(time.time(), "left", name, "no longer on the mirror")
        store.live.drop_repo(name, time.time())


def publish_site(context: MirrorContext) -> None:
    """Publish the site's own files, if they changed: the page, lists of packages, keys, the list of the host's images.

    Raises:
        DiskError: root_dir or the state database can't be written.
    """
    store, settings = context.store, context.config.mirror
    roll_forward(SITE.name, store, context.root, context.kept)
    lists = render_lists(context, shown_repos(context))
    introductions = introduce_repos(context, lists.packages)
    shown = [introduction.repo for introduction in introductions]
    publications = [*lists.publications]
    publications.append(render_site(settings.description, introductions, _main_key(context), context.kept))
    publications += list_further_files(OWN_KEYS, _own_keys(context, shown), context.kept)
    # Clients can't name the images of a directory that is not part of a name.
    reachable = [repo for repo in shown if repo.kind == KIND and public_prefix(repo) is not None]
    registries = {repo.directory: _list_images(context, repo) for repo in reachable}
    if registries:
        # Imported here, since few mirrors have images (see `formats/table.py`).
        from packrat_agent.formats.docker.render import render_host

        files = render_host(registries, signature_api=context.settings.signature_api)
        publications += list_further_files("registry", files, context.kept)
    known = store.publications.identities(SITE.name)
    tree = declare_unsigned(SITE, tuple(publications), known)
    names = (*(publication.name for publication in publications), *lists.kept)
    tree = replace(tree, publication_names=names)
    # The page need not change where a key or the list of images goes: the operator may keep it.
    if tree.publications or known.keys() - set(names):
        make_live(tree, (), (), context)
        remove_old_indexes(SITE.name, context)
    context.page.note_current(lists.current)


def publish_own_keys(context: MirrorContext) -> None:
    """Publish the keys of repositories that have one of their own, if they changed, before the first index they sign.

    Raises:
        DiskError: root_dir or the state database can't be written.
    """
    roll_forward(SITE.name, context.store, context.root, context.kept)
    repos = [repo for repo in context.store.repos.all() if repo.kind in FORMATS]
    known = context.store.publications.identities(SITE.name)
    # What else the site has stays, although it is not rendered here.
    tree = declare_unsigned(
        SITE, Touched(tuple(list_further_files(OWN_KEYS, _own_keys(context, repos), context.kept))), known
    )
    if tree.publications:
        make_live(tree, (), (), context)


def _own_keys(context: MirrorContext, repos: Sequence[Repo]) -> list[TreeFile]:
    keys = {}
    for repo in repos:
        prepared = context.keys.of(repo)
        if prepared is not None and context.keys.section_of(repo) is not None:
            keys[context.keys.place_of(repo)] = (prepared.public.armored, prepared.public.binary)
    return list_own_keys(keys)


def shown_repos(context: MirrorContext) -> list[Repo]:
    """List the repositories that the landing page shows, by name."""
    return [repo for repo in sorted(context.store.repos.all(), key=lambda repo: repo.name) if repo.kind in FORMATS]


def introduce_repos(context: MirrorContext, packages: Mapping[str, int]) -> list[Introduction]:
    """Say of each repository, by name, how clients use it; `packages`: repository → the number of those in its list."""
    return [_introduce(context, repo, packages.get(repo.name)) for repo in shown_repos(context)]


def _main_key(context: MirrorContext) -> MainKey | None:
    main = context.keys.main
    if main is None:
        return None
    return MainKey(main.public.armored, main.public.binary, KeyShown(MAIN_KEY, main.key.primary))


def _list_images(context: MirrorContext, repo: Repo) -> list[str]:
    if repo.kind != KIND:
        return []
    return sorted(name for name in context.store.publications.identities(repo.name) if name != CATALOG)


def _introduce(context: MirrorContext, repo: Repo, packages: int | None) -> Introduction:
    form, public_url = FORMATS[repo.kind], context.config.mirror.public_url
    prepared, place = context.keys.of(repo), context.keys.place_of(repo)
    signed = form.signed_part(repo, context.settings_of(repo)) if prepared is not None else None
    key, images = place if signed is not None else None, _list_images(context, repo)
    url, example = public_url or f"http://{PLACEHOLDER}", images[0] if images else None
    prefix = public_prefix(repo) if images else None
    return Introduction(
        repo=repo,
        setups=form.client_setup(repo, url, key, example),
        with_tls=form.client_setup(repo, f"https://{PLACEHOLDER}", key, example) if public_url is None else (),
        signed=signed,
        key=KeyShown(place, prepared.key.primary) if prepared is not None else None,
        published_at=context.store.publications.published_at(repo.name),
        packages=packages,
        images=Images(f"{urlsplit(url).netloc}/{prefix}", images) if images and prefix is not None else None,
    )
