"""Publishes the files of the site itself: the landing page and the public key."""

import time
from collections.abc import Sequence
from dataclasses import replace

import structlog

from packrat_agent.formats.docker.format import DockerFormat
from packrat_agent.formats.docker.layout import public_prefix
from packrat_agent.formats.docker.render import render_host
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import TreeFile
from packrat_agent.publish.landing_page import (
    OWN_KEYS,
    SITE,
    Introduction,
    list_further_files,
    list_own_keys,
    render_site,
)
from packrat_agent.publish.signing import declare_unsigned
from packrat_agent.sync.commit import make_live
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.roll_forward import roll_forward

log = structlog.get_logger()


def keep_site(context: MirrorContext) -> None:
    """Publish the site's own files, and withdraw the repositories that left the mirror.

    Raises:
        DiskError: root_dir or the state database can't be written.
    """
    store = context.store
    repos = store.wanted.repos()
    publish_site(context)
    present = {repo.name for repo in repos} | {SITE.name}
    for name in store.live.published_repos() - present:
        log.info("left", repo=name, text="no longer on the mirror; removed after the grace period")
        store.events.add(time.time(), "left", name, "no longer on the mirror")
        store.live.drop_repo(name, time.time())


def publish_site(context: MirrorContext) -> None:
    """Publish the site's own files, if they changed, among them the list of the images of the whole host.

    Raises:
        DiskError: root_dir or the state database can't be written.
    """
    store, settings = context.store, context.config.mirror
    roll_forward(SITE.name, store, context.root, context.kept)
    introduced = introduce_repos(context)
    shown, introductions = list(introduced), {repo.name: introduced[repo] for repo in introduced}
    main = context.keys.main.public if context.keys.main is not None else None
    key = (main.armored, main.binary) if main is not None else None
    publications = [render_site(settings.description, shown, introductions, key, context.kept)]
    publications += list_further_files(OWN_KEYS, _own_keys(context, shown), context.kept)
    # Clients can't name the images of a directory that is not part of a name.
    reachable = [repo for repo in shown if repo.kind == DockerFormat.kind and public_prefix(repo) is not None]
    registries = {repo.directory: store.live.identities(repo.name) for repo in reachable}
    if registries:
        files = render_host(registries, signature_api=context.settings.signature_api)
        publications += list_further_files("registry", files, context.kept)
    known = store.live.identities(SITE.name)
    tree = declare_unsigned(SITE, publications, known)
    # The page need not change where a key or the list of images goes: the operator may keep it.
    if tree.publications or known.keys() - set(tree.publication_names):
        make_live(tree, (), (), context)


def publish_own_keys(context: MirrorContext) -> None:
    """Publish the keys of repositories that have one of their own, if they changed, before the first index they sign.

    Raises:
        DiskError: root_dir or the state database can't be written.
    """
    live = context.store.live
    roll_forward(SITE.name, context.store, context.root, context.kept)
    repos = [repo for repo in context.store.wanted.repos() if repo.kind in FORMATS]
    known = live.identities(SITE.name)
    publications = list_further_files(OWN_KEYS, _own_keys(context, repos), context.kept)
    tree = declare_unsigned(SITE, publications, known)
    if tree.publications:
        # What else the site has stays, although it is not rendered here.
        names = tuple(known.keys() | {OWN_KEYS})
        make_live(replace(tree, publication_names=names), (), (), context)


def _own_keys(context: MirrorContext, repos: Sequence[Repo]) -> list[TreeFile]:
    keys = {}
    for repo in repos:
        prepared = context.keys.of(repo)
        if prepared is not None and context.keys.section_of(repo) is not None:
            keys[context.keys.place_of(repo)] = (prepared.public.armored, prepared.public.binary)
    return list_own_keys(keys)


def introduce_repos(context: MirrorContext) -> dict[Repo, Introduction]:
    """Say of each repository, by name, how clients use it."""
    shown = [repo for repo in sorted(context.store.wanted.repos(), key=lambda repo: repo.name) if repo.kind in FORMATS]
    url = context.config.mirror.public_url or "http://THIS-HOST"
    return {repo: _introduce(context, repo, url) for repo in shown}


def _introduce(context: MirrorContext, repo: Repo, url: str) -> Introduction:
    form = FORMATS[repo.kind]
    key = context.keys.place_of(repo) if context.keys.of(repo) is not None else None
    signed = form.signed_part(repo, context.settings_of(repo)) if key is not None else None
    return Introduction(form.client_setup(repo, url, key if signed is not None else None), signed, key)
