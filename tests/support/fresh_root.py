"""A fresh Debian in a directory, with nothing in it but what debootstrap puts there."""

import ast
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TOP = Path(__file__).parents[2]
BOOKWORM = "debian-12"
_PROJECT = "/root/packrat-agent"
_NOT_IN_A_CLONE = shutil.ignore_patterns(
    ".git", ".venv*", ".cache", "__pycache__", ".*_cache", ".hypothesis", "results"
)
_DEADLINE_S = 200.0
_MOUNTS = """\
set -e
mount -t proc proc "$0/proc"
mount --bind "$1" "$0/root/.cache/pip"
exec chroot "$0" sh -c 'echo ready; sleep infinity & wait'
"""


@dataclass(frozen=True, slots=True)
class FreshRoot:
    """A root with a process tree of its own, which ends with it; the network is that of this machine."""

    directory: Path
    first_pid: int
    environment: Mapping[str, str]

    def run(self, script: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run shell commands as root in the project's directory, and stop at the first that fails."""
        enter = ["nsenter", "--target", str(self.first_pid), "--mount", "--pid"]
        # Not `--root`: that would be the directory as it is outside, without what is mounted in it.
        enter += ["chroot", str(self.directory)]
        shell = ["bash", "-c", f"set -euo pipefail\ncd {_PROJECT}\n{script}"]
        done = subprocess.run(
            [*enter, *shell],
            env=self.environment,
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
        return self.directory / inside.lstrip("/")


@contextmanager
def fresh_root(directory: Path, release: str = BOOKWORM) -> Iterator[FreshRoot]:
    """Copy the cached root to `directory`, with the project in /root/packrat-agent; ends all that it starts."""
    cache = _TOP / ".cache" / release
    assert (cache / "made").exists(), "there is no fresh Debian: run `make test` or tests/provision.sh as root"
    subprocess.run(["cp", "-a", "--reflink=auto", cache / "root", directory], check=True)
    shutil.copytree(_TOP, directory / _PROJECT.lstrip("/"), symlinks=True, ignore=_NOT_IN_A_CLONE)
    shutil.copy(_TOP / "tests/support/systemctl.py", directory / "usr/bin/systemctl")
    (directory / "usr/bin/systemctl").chmod(0o755)
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", directory / "etc" / name)
    # Nobody is there to answer.
    (directory / "etc/apt/apt.conf.d/90test").write_text('APT::Get::Assume-Yes "true";\nAcquire::Retries "3";\n')
    # Without a flush for each file: the root does not outlive the test.
    (directory / "etc/dpkg/dpkg.cfg.d/90test").write_text("force-unsafe-io\n")
    for pip in (cache / "pip", directory / "root/.cache/pip"):
        pip.mkdir(parents=True, exist_ok=True)
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    command += ["sh", "-c", _MOUNTS, str(directory), str(cache / "pip")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text()
            yield FreshRoot(directory, int(children.split()[0]), _environment(directory))
        finally:
            holder.kill()


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
