"""Finds, before a takeover, the indexes that were signed with another key than the one that this mirror signs with."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from packrat_agent.gpg.verify import verifies_by_family
from packrat_agent.model.records import Repo
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.takeover.original_places import signed_indexes
from packrat_core.fs.open import read_regular

_INDEX_LIMIT = 64 << 20
_SIGNATURE_LIMIT = 1 << 20


def find_other_keys(context: MirrorContext, repos: Sequence[Repo], untracked: Collection[str]) -> Iterator[str]:
    """Say, a line each, which indexes clients would refuse, since they trust another key.

    Args:
        context: The mirror.
        repos: Its repositories.
        untracked: The paths of what stands below `root_dir`.

    Raises:
        SigningError: gpg can't be used.
    """
    for repo in repos:
        for index, signature in signed_indexes(repo):
            if index in untracked and signature in untracked and not is_ours(context, repo, index, signature):
                now = "nothing is signed now" if context.key_of(repo) is None else "gpg_sign_key is another one"
                yield (
                    f"{repo.name}: {signature}: it was made with the key that clients trust, and {now}: they "
                    "would refuse the repository"
                )


def is_ours(context: MirrorContext, repo: Repo, index: str, signature: str) -> bool:
    """Tell whether an index below `root_dir` is signed by the key that signs its repository, or by a sister subkey.

    Args:
        context: The mirror.
        repo: The repository.
        index: The path of the index.
        signature: The path of its detached signature.

    Raises:
        SigningError: gpg can't be used.
    """
    with suppress(OSError):
        data = read_regular(context.root / index, _INDEX_LIMIT)
        made = read_regular(context.root / signature, _SIGNATURE_LIMIT)
        prepared = context.keys.of(repo)
        return prepared is not None and verifies_by_family(prepared.key, data, made, prepared.rotation.accepted)
    return False
