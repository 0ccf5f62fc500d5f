"""Tells users how to download from a json repository. Web servers need no rules for it: clients read plain files."""

from packrat_agent.formats.json.layout import SIGNED_SUMS, SUMS
from packrat_agent.model.records import Repo


def client_setup(repo: Repo, url: str, *, signed: bool) -> str:
    """Give the commands that download and check the list and a file; `url` is that of root_dir.

    The list comes first: a file that it names stays on the mirror for a while, whatever is published meanwhile.
    """
    here = f"{url}/{repo.directory}"
    get = f"curl -fsS --create-dirs -o PACKAGE/FILE {here}/PACKAGE/FILE"
    check = f"sha256sum -c --ignore-missing {SUMS}"
    if not signed:
        return "\n".join([f"curl -fsSO {here}/{SUMS}", get, check])
    fetch = f"curl -fsSO {url}/repo-key.gpg -O {here}/{SIGNED_SUMS}"
    # gpgv writes the list even if the signature is bad.
    return "\n".join([fetch, get, f"gpgv --keyring ./repo-key.gpg --output {SUMS} {SIGNED_SUMS} && {check}"])
