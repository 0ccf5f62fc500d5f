"""Makes the lists of packages that the landing page searches, from what the state database has of each index."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Publication
from packrat_agent.publish.signing import publication_identity
from packrat_agent.site_page.package_list import (
    Cut,
    ListedFile,
    change,
    cut,
    is_made_of,
    list_identity,
    list_name,
    publish_list,
    read_facts,
)
from packrat_agent.site_page.site_files import SITE
from packrat_agent.sync.context import MirrorContext


@dataclass(frozen=True, slots=True)
class PackageLists:
    """The lists of a mirror.

    Attributes:
        publications: those that were looked at.
        kept: the names of the publications of the others, which stay as they are.
        packages: name of a repository with a list → the number of its packages.
        current: the repositories whose lists were looked at.
    """

    publications: Sequence[Publication]
    kept: Sequence[str]
    packages: Mapping[str, int]
    current: Sequence[Repo]


def render_lists(context: MirrorContext, repos: Sequence[Repo]) -> PackageLists:
    """Make the lists of those repositories that were synced, at the cost of what changed in them."""
    known, facts = context.store.publications.identities(SITE.name), context.store.publications.facts(SITE.name)
    publications, kept, packages, current = list[Publication](), list[str](), dict[str, int](), list[Repo]()
    for repo in repos:
        name = list_name(repo)
        shards = read_facts(facts.get(name, {}))
        if not context.page.is_synced(repo):
            if name in known:
                kept.append(name)
                packages[repo.name] = Cut(shards or (), {}).packages
            continue
        published = context.store.publications.identities(repo.name)
        if not published:
            continue
        if shards is not None and known.get(name) != publication_identity(SITE, list_identity(repo, shards), None):
            # A file of it was damaged.
            shards = None
        index = hashlib.sha256(json.dumps([repo.name, sorted(published.items())]).encode()).hexdigest()
        changed = context.page.take(repo)
        if shards is not None and changed is None and is_made_of(index, facts[name]):
            changed = frozenset()
        rows = _Rows(context, repo)
        if shards is None or changed is None:
            made = cut(rows.between("", None))
        else:
            made = change(shards, changed, rows.between)
        publications.append(publish_list(repo, made, shards, index))
        packages[repo.name] = made.packages
        current.append(repo)
    return PackageLists(publications, kept, packages, current)


class _Rows:
    """Reads what the index of a repository names."""

    def __init__(self, context: MirrorContext, repo: Repo) -> None:
        form = FORMATS[repo.kind]
        self._entries = context.store.live_entries(repo, context.source_of(form, repo))
        self._releases = {version.name: form.release_name(version) for version in repo.distro_versions}

    def between(self, low: str, high: str | None) -> Iterator[ListedFile]:
        """List the files of the packages from one name up to another one; None: to the end."""
        for package, name, version, arch, distro_version in self._entries.listed(low, high):
            yield ListedFile(package, name, version, self._releases.get(distro_version, ""), arch)
