"""Tells users how to download from a json repository. Web servers need no rules for it: clients read plain files."""

from packrat_agent.formats.json.layout import SIGNED_SUMS, SUMS
from packrat_agent.formats.pasted import in_url, quoted
from packrat_agent.model.key_places import KeyPlace
from packrat_agent.model.records import Repo


def client_setup(repo: Repo, url: str, key: KeyPlace | None) -> str:
    """Give the commands that download and check the list and a file.

    The list comes first: a file that it names stays on the mirror for a while, whatever is published next.

    Args:
        repo: the repository.
        url: the address of root_dir as the client knows it.
        key: where the public key is published that the list is signed with; None if it is not.
    """
    here = f"{url}/{in_url(repo.directory)}"
    get = f"curl -fsS --create-dirs -o PACKAGE/FILE {quoted(f'{here}/PACKAGE/FILE')}"
    check = f"sha256sum -c --ignore-missing {SUMS}"
    if key is None:
        return "\n".join([f"curl -fsSO {quoted(f'{here}/{SUMS}')}", get, check])
    keyring = key.binary.rpartition("/")[2]
    fetch = f"curl -fsSO {quoted(f'{url}/{key.binary}')} -O {quoted(f'{here}/{SIGNED_SUMS}')}"
    # gpgv writes the list even if the signature is bad.
    return "\n".join([fetch, get, f"gpgv --keyring ./{keyring} --output {SUMS} {SIGNED_SUMS} && {check}"])
