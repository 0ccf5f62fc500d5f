"""Sets up what every contender needs: a signing key, an environment that knows nothing of the user's own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.costs import Daemons
from bench.meter import BenchError

SUITE = "bookworm"


@dataclass(frozen=True, slots=True)
class Setting:
    """A directory for everything, a key without a passphrase, the environment of all commands, who works for them."""

    directory: Path
    gnupg_home: Path
    key: str
    environment: Mapping[str, str]
    daemons: Daemons


@contextmanager
def set_up(directory: Path | None) -> Iterator[Setting]:
    """Hold a Setting in a new directory below `directory`; all of it is removed afterwards, with gpg's agent.

    Raises: BenchError
    """
    if shutil.which("gpg") is None:
        raise BenchError("gpg is not installed: `apt-get install gnupg`")
    # gpg-agent's sockets need a short path.
    with (
        tempfile.TemporaryDirectory(prefix="packrat-bench-", dir=directory) as work,
        tempfile.TemporaryDirectory(prefix="pb-", ignore_cleanup_errors=True) as home,
    ):
        gnupg_home = Path(home)
        environment = {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
            "HOME": work,
            "GNUPGHOME": home,
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(_import_path()),
        }
        try:
            key, daemons = _make_key(environment), Daemons()
            ask = ["gpg-connect-agent", "--no-autostart", "getinfo pid", "/bye"]
            told = subprocess.run(ask, env=environment, capture_output=True, text=True, check=True)
            daemons.pids["gpg-agent"] = int(told.stdout.split()[1])
            yield Setting(Path(work), gnupg_home, key, environment, daemons)
        finally:
            subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False, capture_output=True)


def _import_path() -> list[str]:
    top = Path(__file__).parents[1]
    return [str(top), str(top / "src")]


def _make_key(environment: Mapping[str, str]) -> str:
    gpg = ["gpg", "--batch", "--no-tty"]
    name = "Benchmark <bench@example.com>"
    make = [*gpg, "--passphrase", "", "--quick-generate-key", name, "rsa3072", "sign", "never"]
    made = subprocess.run(make, env=environment, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise BenchError(f"gpg can't make a key: {made.stderr.strip()[-500:]}")
    show = [*gpg, "--list-secret-keys", "--with-colons"]
    listed = subprocess.run(show, env=environment, capture_output=True, text=True, check=True)
    return next(line for line in listed.stdout.splitlines() if line.startswith("fpr:")).split(":")[9]
