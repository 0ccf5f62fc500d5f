"""Tells users how to download from a json repository. Web servers need no rules for it: clients read plain files."""

from packrat_agent.formats.json.layout import SUMS
from packrat_agent.model.records import Repo


def client_setup(repo: Repo, url: str, *, signed: bool) -> str:
    """Give the commands that download and check the list and a file; `url` is that of root_dir."""
    here = f"{url}/{repo.directory}"
    lines = [f"curl -fsSO {here}/{SUMS}"]
    if signed:
        lines += [
            f"curl -fsSO {url}/repo-key.gpg -O {here}/{SUMS}.gpg",
            f"gpgv --keyring ./repo-key.gpg {SUMS}.gpg {SUMS}",
        ]
    get = f"curl -fsS --create-dirs -o PACKAGE/FILE {here}/PACKAGE/FILE"
    return "\n".join([*lines, get, f"sha256sum -c --ignore-missing {SUMS}"])
