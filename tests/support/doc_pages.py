"""The fenced blocks of the pages, and which of them no test can follow."""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TOP = Path(__file__).parents[2]

NOT_RUN: Mapping[tuple[str, str], str] = {
    ("apt.md", "deb http://repo.example.com/apt-prod bookworm main"): (
        "tests/clients/test_apt_copies.py runs apt-mirror with these lines"
    ),
    ("docker.md", "cosign triangulate registry.example.com/app:1"): (
        "Debian 12 has no cosign; tests/clients/test_docker.py uploads a signature so, and finds it by its tag"
    ),
    ("server.md", "runuser -u packrat-server -- packrat-server init"): (
        "the way of the package: `make test-deb` starts a server so"
    ),
    ("operations.md", "packrat-agent --config /etc/packrat/second.conf init --no-start --web-server none \\"): (
        "it asks questions; tests/agent/setup/test_two_mirrors.py sets up a mirror so"
    ),
    (
        "operations.md",
        "cp /usr/lib/systemd/system/packrat-agent.service /etc/systemd/system/packrat-agent-second.service",
    ): ("there is no systemd; tests/agent/setup/test_two_mirrors.py has systemd-analyze read the unit"),
    ("operations.md", "packrat-agent init --server https://packrat.example.com --name prod --psk-file /root/psk \\"): (
        "tests/clients/test_deb.py sets up a mirror so, and apt installs from it"
    ),
    (
        "operations.md",
        'packrat-agent --config ~/mirror/mirror.conf init --user "$USER" --root-dir ~/mirror/www '
        "--state-dir ~/mirror/state \\",
    ): ("tests/agent/setup/test_init.py sets up a mirror of a user who is not root"),
    ("signing.md", "packrat-agent key new --name repo.example.com"): (
        "tests/clients/test_key_rotation.py makes keys so; the walk makes its own by gpg, the page's other way"
    ),
    ("signing.md", "packrat-agent key backup /root/repo-keys.asc [--encrypt-with PASSPHRASE_FILE]"): (
        "a form with a choice in it: tests/agent/cli/test_key.py backs up both ways"
    ),
    ("signing.md", "# packrat-agent key rotate"): (
        "tests/clients/test_key_rotation.py goes through all phases, with all clients"
    ),
    (
        "signing.md",
        "# the path on the mirror:     gpgconf --homedir /var/lib/packratAgent/gnupg --list-dirs agent-socket",
    ): ("two hosts: tests/agent/gpg/test_remote_agent.py signs by another's socket"),
    ("server.md", "runuser -u packrat-server -- /opt/packrat-agent/bin/packrat-server init --database \\"): (
        "the database is on another host, which has a certificate; tests/server tries TLS and passwords"
    ),
    ("operations.md", "content    every file read until 2 days ago, 812 GB read again since 2 days ago"): (
        "a tree must be larger than tests make them to be read in slices"
    ),
}
"""Page and first line of a block that is not run → why."""

NOT_FOLLOWED: Mapping[str, str] = {
    "benchmarks.md": "its commands take hours: tests/project/test_bench.py runs short ones",
}
"""Pages with blocks that are no how-to pages → why."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it stands, its language, its text, and the heading and text before it."""

    page: str
    line: int
    language: str
    text: str
    before: str

    @property
    def first(self) -> str:
        """Its first line, by which NOT_RUN names it."""
        return self.text.partition("\n")[0]


def page_text(page: str) -> str:
    """The text of a page of docs/, or of the README."""
    return (_TOP / ("" if page == "README.md" else "docs") / page).read_text()


def pages() -> list[str]:
    """All pages of docs/."""
    return sorted(path.name for path in _TOP.glob("docs/*.md"))


def blocks(page: str) -> list[Block]:
    """All blocks of a page, from top to bottom."""
    text = page_text(page)
    found = []
    end = 0
    for fence in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, fence.start()) + 1
        inside = textwrap.dedent(fence[3])
        found.append(Block(page, line, fence[2], inside, text[end : fence.start()].strip()))
        end = fence.end()
    return found
