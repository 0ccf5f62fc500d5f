"""A Debian in a directory, like a cached one: by default with nothing in it but what debootstrap puts there."""

import ast
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TOP = Path(__file__).parents[2]
_CACHE = _TOP / ".cache"
BOOKWORM = "debian-12"
RELEASE = os.environ.get("PACKRAT_WALK_RELEASE", BOOKWORM)
"""The release to follow the pages on; `make test-trixie` sets another one."""
PROJECT = "/root/packrat-agent"
"""Where a clone of the project is in each root."""
_NOT_IN_A_CLONE = shutil.ignore_patterns(
    ".git", ".venv*", ".cache", "__pycache__", ".*_cache", ".hypothesis", "results"
)
_DEADLINE_S = 200.0
_MOUNTS = """\
set -e
[ "$3" = online ] || ip link set lo up
mkdir -p "$0" "$0.changes" "$0.work"
# Where a filesystem can't lie over another one, as in some containers, a copy takes longer.
mount -t overlay "$1" -o "lowerdir=$1,upperdir=$0.changes,workdir=$0.work" "$0" 2>/dev/null ||
  cp -a --reflink=auto "$1/." "$0"
mount -t proc proc "$0/proc"
mount -t sysfs -o ro sysfs "$0/sys"
mkdir -p "$0/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$0/dev/pts"
ln -sf pts/ptmx "$0/dev/ptmx"
mkdir -p "$2" "$0/root/.cache/pip"
mount --bind "$2" "$0/root/.cache/pip"
# What pip downloads is shared, what it builds is not: it writes the project's wheel over that of another root.
mkdir -p "$0/root/.cache/pip/wheels"
mount -t tmpfs wheels "$0/root/.cache/pip/wheels"
exec chroot "$0" sh -c 'echo ready; sleep infinity & wait'
"""


@dataclass(frozen=True, slots=True)
class FreshRoot:
    """A root with a process tree of its own, which ends with it."""

    directory: Path
    """Where it is in its own mount namespace."""
    first_pid: int
    environment: Mapping[str, str]

    def run(
        self, script: str, expect: int | None = 0, user: str = "root", typed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run shell commands, and stop at the first that fails.

        Args:
            script: the commands.
            expect: the exit code that they must have; None for any.
            user: who runs them: root in the project's directory, all others at the top.
            typed: what their standard input holds.
        """
        enter = ["nsenter", "--target", str(self.first_pid), "--mount", "--pid", "--net"]
        # Not `--root`: that would be the directory as it is outside, without what is mounted in it.
        enter += ["chroot", str(self.directory)]
        shell = ["bash", "-c", f"set -euo pipefail\ncd {PROJECT if user == 'root' else '/'}\n{script}"]
        done = subprocess.run(
            [*enter, *(["runuser", "-u", user, "--"] if user != "root" else []), *shell],
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
        if expect is not None:
            assert done.returncode == expect, f"{script}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def path(self, inside: str) -> Path:
        """Where a path of the root lies."""
        return _seen(self.first_pid) / inside.lstrip("/")


def _seen(pid: int) -> Path:
    """The root of a process, with what is mounted in it."""
    return Path(f"/proc/{pid}/root")


def cached_root(release: str) -> Path:
    """Where a release lies as debootstrap made it."""
    return _CACHE / release / "root"


@contextmanager
def fresh_root(directory: Path, base: Path | None = None, *, offline: bool = False) -> Iterator[FreshRoot]:
    """Make a root like a cached one, with the project in /root/packrat-agent; ends all that is started in it.

    Args:
        directory: where it is to be; it need not be there.
        base: the cached one; by default, the release as debootstrap made it.
        offline: with a network of its own, which leads nowhere, in place of this machine's.
    """
    base = base or cached_root(RELEASE)
    assert (base.parent / "made").exists(), f"{base} is not made: run `make test` or tests/provision.sh as root"
    command = ["unshare", "--mount", "--pid", *(["--net"] if offline else []), "--fork", "--kill-child"]
    command += ["sh", "-c", _MOUNTS, *map(str, (directory, base.resolve(), _CACHE.resolve() / RELEASE / "pip"))]
    with subprocess.Popen([*command, "offline" if offline else "online"], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            first = int(Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0])
            _furnish(_seen(first))
            yield FreshRoot(directory, first, _environment(_seen(first)))
        finally:
            holder.kill()


def _furnish(root: Path) -> None:
    shutil.copytree(_TOP, root / PROJECT.lstrip("/"), symlinks=True, ignore=_NOT_IN_A_CLONE)
    shutil.copy(_TOP / "tests/support/systemctl.py", root / "usr/bin/systemctl")
    (root / "usr/bin/systemctl").chmod(0o755)
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)
    # Nobody is there to answer.
    (root / "etc/apt/apt.conf.d/90test").write_text('APT::Get::Assume-Yes "true";\nAcquire::Retries "3";\n')
    # Without a flush for each file: the root does not outlive the test.
    (root / "etc/dpkg/dpkg.cfg.d/90test").write_text("force-unsafe-io\n")


def _environment(root: Path) -> Mapping[str, str]:
    """What a login of root has, and how this machine reaches the network."""
    passed = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        **passed,
        **_pip_settings(root),
    }


def _pip_settings(root: Path) -> dict[str, str]:
    """Set up pip in the root as it is here: an index of its own, a CA; files that it names are copied along."""
    listed = subprocess.run(
        [_TOP / ".venv/bin/pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        text = str(ast.literal_eval(value))
        variable = f"PIP_{name.rpartition('.')[2].upper().replace('-', '_')}"
        settings[variable] = text
        if text.startswith("/") and Path(text).is_file():
            # Not to where it lies here: a package that the root installs may write there.
            copy = Path("root/pip-settings") / f"{len(settings)}-{Path(text).name}"
            (root / copy).parent.mkdir(exist_ok=True)
            shutil.copy(text, root / copy)
            settings[variable] = f"/{copy}"
    return settings
