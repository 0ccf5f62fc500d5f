"""Restores what apt compares a suite with, such as its Origin and Label, after the state database was lost."""

from collections.abc import Collection, Sequence

from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.takeover.original_places import read_own_suite
from packrat_agent.sync.takeover.other_keys import is_ours


def recall_suites(context: MirrorContext, repos: Sequence[Repo], untracked: Collection[str]) -> None:
    """Remember Origin, Label and Codename of the apt suites on disk, so that a change of them is still held back.

    Only a Release that the repository's key signed is believed; where nothing is signed, none could be.

    Args:
        context: The mirror.
        repos: Its repositories.
        untracked: The paths of what stands below `root_dir`.

    Raises:
        SigningError: gpg can't be used.
        DiskError: The state database can't be written.
    """
    for repo in repos:
        if repo.kind != "apt":
            continue
        for version in repo.distro_versions:
            suite = version.version or version.name
            directory = path_in_root(repo, f"dists/{suite}")
            release = f"{directory}/Release"
            is_signed = context.key_of(repo) is not None
            if release in untracked and (not is_signed or is_ours(context, repo, release, f"{release}.gpg")):
                context.store.publications.remember_others(
                    repo.name, suite, read_own_suite(context.root, repo, directory)
                )
