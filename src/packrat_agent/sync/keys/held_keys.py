"""Holds a repository whose key would change on the server's word alone.

1. Sections of mirror.conf choose the key: that of the repository, else that of its tag, else `[mirror]`. The operator
   may change them at any time.
2. The server says which tag a repository has. The agent remembers the tag of its name and that of its directory, even
   after the repository moved or left the mirror. If the tag that the server names now would choose another key than
   either, the repository stays as it was published.
3. A repository whose record names no tag stays, too, where mirror.conf has keys for tags.
4. So does one that is new where the agent remembers as many tags as it can.
5. `[repo NAME]` in mirror.conf confirms a key for good, whatever the tag.
"""

from dataclasses import replace

from packrat_agent.gpg.signing_keys import SigningKeys
from packrat_agent.model.records import MirrorView, Rejection, Repo
from packrat_agent.state.known_tags import KnownTags
from packrat_agent.upstream.records import REPO


def hold_other_keys(view: MirrorView, known: KnownTags, keys: SigningKeys) -> MirrorView:
    """Take the repositories whose key can't be determined, or would change, out of what the server says.

    Args:
        view: What the server says of the mirror.
        known: The tags that its repositories had.
        keys: The keys of mirror.conf.

    Returns:
        The view, with each such repository among the unusable ones, which stay as they are.

    Raises:
        DiskError: The state database can't be read.
    """
    reasons = {repo.name: reason for repo in view.repos if (reason := _why_held(repo, known, keys)) is not None}
    return replace(
        view,
        repos=tuple(repo for repo in view.repos if repo.name not in reasons),
        rejected=(*view.rejected, *(Rejection(f"{REPO}:{name}:", reason) for name, reason in reasons.items())),
        unusable=view.unusable.union(reasons),
    )


def _why_held(repo: Repo, known: KnownTags, keys: SigningKeys) -> str | None:
    if not keys.depends_on_tag(repo):
        return None
    confirm = f"to confirm a key, name it as gpg_sign_key in [repo {repo.name}] of mirror.conf"
    if not repo.tag:
        return f"its record names no tag, by which mirror.conf chooses the key to sign it with; {confirm}"
    now = _fingerprint(repo, keys)
    for before in sorted(known.of(repo)):
        if _fingerprint(replace(repo, tag=before), keys) != now:
            return f"its tag was {before!r} and is now {repo.tag!r}, so another key would sign it; {confirm}"
    if not known.can_remember(repo):
        return f"there were too many repositories to remember the tag of a new one, which chooses its key; {confirm}"
    return None


def _fingerprint(repo: Repo, keys: SigningKeys) -> str | None:
    prepared = keys.of(repo)
    return prepared.key.fingerprint if prepared is not None else None
