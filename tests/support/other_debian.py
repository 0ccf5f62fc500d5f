"""The clients of another Debian release, as programs that run in a root of that release on this machine's files."""

import os
from pathlib import Path

TRIXIE = "debian-13"

RELEASES = (TRIXIE, *os.environ.get("PACKRAT_MORE_RELEASES", "").split()) if os.geteuid() == 0 else ()
"""Releases to test with, besides this machine's own. tests/provision.sh makes their roots; only root can use them."""

_CACHE = Path(__file__).parents[2] / ".cache"
_PROGRAMS = ("apt-cache", "apt-get", "dnf", "rpm", "rpmkeys", "zypper")
_SCRIPT = """\
#!/bin/sh
# In a mount namespace of its own, so that nothing stays mounted.
exec unshare --mount sh -c '
  mount --rbind /tmp "$0/tmp"
  mount -t proc proc "$0/proc"
  directory=$(pwd)
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin
  exec chroot "$0" sh -c '\\''cd "$0" 2>/dev/null || cd /; exec "$@"'\\'' "$directory" "$@"
' {root} {program} "$@"
"""


def root_of(release: str) -> Path:
    """The root of a release."""
    root = _CACHE / release / "root"
    assert (root.parent / "made").exists(), f"there is no root of {release}: run `make test` or tests/provision.sh"
    return root


def write_programs(release: str, directory: Path, names: tuple[str, ...] = _PROGRAMS) -> Path:
    """Write a program for each client of a release, to be put in PATH; files below /tmp are the same for them."""
    root = root_of(release)
    programs = directory / release
    programs.mkdir()
    for name in names:
        # dnf of Debian 13 and before is Python, that of the next release is called dnf5.
        actual = "dnf5" if name == "dnf" and not (root / "usr/bin/dnf").exists() else name
        (programs / name).write_text(_SCRIPT.format(root=root, program=actual))
        (programs / name).chmod(0o755)
    return programs
