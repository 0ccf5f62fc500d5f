"""Publishes the files of the site itself: the landing page and the public key."""

import time
from collections.abc import Iterable

import structlog

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import Repo
from packrat_agent.publish.landing_page import SITE, Introduction, render_site
from packrat_agent.publish.signing import declare_unsigned
from packrat_agent.sync.commit import make_live
from packrat_agent.sync.context import MirrorContext

log = structlog.get_logger()


def keep_site(context: MirrorContext) -> None:
    """Publish the site's own files, and withdraw the repositories that left the mirror.

    Raises:
        DiskError: root_dir or the state database can't be written.
    """
    store = context.store
    repos = store.wanted.repos()
    _publish_site(context, repos)
    present = {repo.name for repo in repos} | {SITE.name}
    for name in store.live.published_repos() - present:
        log.info("left", repo=name, text="no longer on the mirror; removed after the grace period")
        store.events.add(time.time(), "left", name, "no longer on the mirror")
        store.live.drop_repo(name, time.time())


def _publish_site(context: MirrorContext, repos: Iterable[Repo]) -> None:
    store, settings = context.store, context.config.mirror
    shown = [repo for repo in sorted(repos, key=lambda repo: repo.name) if repo.kind in FORMATS]
    url = settings.public_url or "http://THIS-HOST"
    introductions = {repo.name: _introduce(context, repo, url) for repo in shown}
    tree = render_site(settings.description, shown, introductions, context.public_key, context.kept)
    tree_to_publish = declare_unsigned(tree, store.live.identities(SITE.name))
    if tree_to_publish.publications:
        make_live(tree_to_publish, (), (), store.live, context)


def _introduce(context: MirrorContext, repo: Repo, url: str) -> Introduction:
    form = FORMATS[repo.kind]
    signed = form.signed_part(repo, context.settings) if context.public_key is not None else None
    return Introduction(form.client_setup(repo, url, signed is not None), signed)
