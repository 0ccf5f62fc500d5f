"""Refuses to publish a repository without signatures whose clients know it signed.

Clients that check signatures refuse such a repository. A line that was lost from mirror.conf must not do that to them,
so the operator has to say it: `gpg_sign_key: none`.

The state database knows which repositories were signed. Where that is lost, too, the signatures in root_dir tell: they
need not be true for that, since somebody who puts one there only has the agent wait for the operator.
"""

from collections.abc import Collection, Sequence

from packrat_agent.config.settings import Config
from packrat_agent.formats.signed_repos import has_signatures, is_signature
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.state.facts import KeyInUse
from packrat_agent.state.store import Store
from packrat_agent.sync.context import MirrorContext
from packrat_core.errors import SigningError
from packrat_core.text import name_some


def refuse_to_unsign(config: Config, store: Store) -> None:
    """Refuse a configuration that takes the signature away from what is published, unless it says so.

    Args:
        config: The configuration.
        store: The state database, which knows the keys that signed last.

    Raises:
        SigningError: A published repository was signed, and mirror.conf names no key for it.
    """
    if config.mirror.gpg_sign_key is not None:
        return
    main = store.facts.read(KeyInUse)
    published = store.live.published_repos()
    lost = [
        repo.name
        for repo in store.repos.all()
        if repo.name in published
        and has_signatures(repo, config.mirror.public_url)
        and _loses_key(repo, config, store, has_main=bool(main and main.fingerprint))
    ]
    if lost:
        raise _refuse(config, lost)


def refuse_to_unsign_found(context: MirrorContext, repos: Sequence[Repo], untracked: Collection[str]) -> None:
    """Refuse the same where the state database is lost, by the signatures on disk.

    Args:
        context: The mirror, whose state database knows of no file.
        repos: Its repositories.
        untracked: The paths of what stands below root_dir.

    Raises:
        SigningError: A repository on disk is signed, and mirror.conf names no key for it.
    """
    # Before a takeover, the loss of signatures is among the losses that the operator confirms.
    if context.config.mirror.gpg_sign_key is not None or context.takeover is not None:
        return
    unsigned = {path_in_root(repo, ""): repo for repo in repos if context.key_of(repo) is None}
    lost = [
        repo.name
        for below, repo in unsigned.items()
        if any(path.startswith(below) and is_signature(repo.kind, path.removeprefix(below)) for path in untracked)
    ]
    if lost:
        raise _refuse(context.config, lost)


def _refuse(config: Config, lost: list[str]) -> SigningError:
    return SigningError(
        f"{config.source} names no gpg_sign_key for {name_some(lost)}, published with signatures until now; "
        "clients would refuse what is unsigned",
        hint="name the key again, or write `gpg_sign_key: none` in [mirror] once clients trust the mirror unsigned",
    )


def _loses_key(repo: Repo, config: Config, store: Store, *, has_main: bool) -> bool:
    """Tell whether a key signed the repository, and none does now."""
    sections = (f"repo {repo.name}", f"tag {repo.tag}")
    if any(section in config.section_keys for section in sections):
        return False
    return has_main or any(store.facts.section_key(section) is not None for section in sections)
