"""Tells users how their clients use an apt repository. Web servers need no rules for it: apt reads plain files.

Source: sources.list(5).
"""

from packrat_agent.formats.apt.layout import COMPONENT, suite_of
from packrat_agent.model.records import Repo

_KEYRING = "/etc/apt/keyrings/packrat-mirror.gpg"


def client_setup(repo: Repo, url: str, *, signed: bool) -> str:
    """Give the commands that install the key and the list file; `url` is that of root_dir."""
    lines = []
    if signed:
        # Releases before Debian 12 and Ubuntu 22.04 do not have this directory.
        lines += ["sudo install -d -m 0755 /etc/apt/keyrings", f"sudo curl -fsSL -o {_KEYRING} {url}/repo-key.gpg"]
    option = f"signed-by={_KEYRING}" if signed else "trusted=yes"
    for suite in map(suite_of, repo.distro_versions):
        source = f"deb [{option}] {url}/{repo.directory} {suite} {COMPONENT}"
        lines.append(f'echo "{source}" | sudo tee /etc/apt/sources.list.d/{repo.name}-{suite}.list')
    return "\n".join([*lines, "sudo apt-get update"])
