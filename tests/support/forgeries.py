"""Forges what stands below root_dir, row by row of SECURITY.md's table "What is read back from root_dir"."""

import base64
import gzip
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.build_image import Image
from support.keys import Key
from support.stage import Stage
from support.tree_edits import sign

FORGED = b"F0RGED"
SAFE = "nobody but its owner writes this"
_DATED = re.compile(
    r"(.*/)?(In)?Release(\.gpg)?|.*(repomd\.xml|mirrorlist|metalink)(\.asc)?|.*\.(asc|gpg|signed)|"
    r".*(by-hash|generations|extensions|sigstore/docker-dev)/.*"
)
"""Has a date, a generation or a signature; `verify` follows these to what they name."""
DEB = Deb("hello", "1", "amd64", files=(("/usr/share/hello", b"hello"),))
WEB = Image("web", "1.2", ((("web", b"web\n"),),))


@dataclass(slots=True)
class Attacked:
    """A mirror of all types, what it publishes, and what an attacker has."""

    lab: Stage
    stranger: Key
    published: dict[str, bytes]

    @property
    def www(self) -> Path:
        return self.lab.www

    @property
    def own(self) -> Path:
        return self.lab.www / ".packrat-agent"

    @property
    def victim(self) -> Path:
        """A directory outside root_dir that the agent may write to, with the names that are published."""
        return self.lab.directory / "victim"

    def find(self, pattern: str) -> Path:
        return next(path for path in sorted(self.www.glob(pattern)) if path.is_file() and not path.is_symlink())


def read_tree(www: Path) -> dict[str, bytes]:
    """Path → bytes of all that is published and has no date; everything is looked through for what was forged."""
    found = {}
    for path in sorted(www.rglob("*")):
        name = str(path.relative_to(www))
        if name.startswith(".packrat-agent") or path.is_dir():
            continue
        data = path.read_bytes()
        assert FORGED not in data, name
        assert not name.endswith(".gz") or FORGED not in gzip.decompress(data), name
        if not _DATED.fullmatch(name):
            found[name] = re.sub(rb'"upload-time": ?"[^"]*"|<time [^/]*</time>', b"", data)
    return found


def forge_mark(made: Attacked) -> None:
    (made.own / "mark").write_bytes(b'{"mirror": "F0RGED"}')


def link_own_files(made: Attacked) -> None:
    """Links from wherever the agent writes to its own directory."""
    for name in ("lock.holder", "mark.new"):
        (made.own / name).unlink(missing_ok=True)
        (made.own / name).symlink_to(made.victim / "file")
    for sha256 in (path.stem for path in made.own.glob("made/*/*.json")):
        for directory in made.own.glob("made/*"):
            if directory.is_dir():
                (directory / f"{sha256}.new").symlink_to(made.victim / "file")


def link_made(made: Attacked) -> None:
    (made.own / "made").rename(made.lab.directory / "aside")
    (made.own / "made").symlink_to(made.victim)


def link_staging(made: Attacked) -> None:
    """The spare names in staging are links, and what is to be downloaded is a link or another name of a file."""
    for kind in ("apt", "docker", "json", "pypi", "yum"):
        staging = made.own / "staging" / f"full-{kind}-dev"
        staging.mkdir(parents=True)
        for name in ("unpacking", "placing", "writing", *(f"pointer-{number}" for number in range(9))):
            (staging / name).symlink_to(made.victim / "file")
    deb, config = made.find("apt-dev/pool/*/*.deb"), made.find("json-dev/a/*.conf")
    for path in (deb, config, made.find("docker-dev/v2/web/blobs/*")):
        path.unlink()
    sha256 = hashlib.sha256(build_deb(DEB)).hexdigest()
    (made.own / "staging/full-apt-dev" / f"{sha256}.part").hardlink_to(made.victim / "file")
    sha256 = hashlib.sha256(b"a = 1\n").hexdigest()
    (made.own / "staging/full-json-dev" / sha256).symlink_to(made.victim / "file")


def forge_staging(made: Attacked) -> None:
    """Other bytes under the SHA-256 of what is to be downloaded, whole and in part."""
    made.find("apt-dev/pool/*/*.deb").unlink()
    made.find("json-dev/a/*.conf").unlink()
    staging = made.own / "staging/full-apt-dev"
    staging.mkdir(parents=True, exist_ok=True)
    for data in (build_deb(DEB), b"a = 1\n"):
        sha256 = hashlib.sha256(data).hexdigest()
        (staging / sha256).write_bytes(FORGED)
        (made.own / "staging" / f"{sha256}.part").write_bytes(FORGED)


def forge_packages(made: Attacked) -> None:
    """Other bytes of the same size, in the same inode, with the same time, in whatever a package file became."""
    for pattern in ("apt-dev/pool/*/*.deb", "sles*/**/*.rpm", "yum-dev/**/*.rpm", "pypi-dev/packages/*/*.whl"):
        for path in made.www.glob(pattern):
            overwrite(path)
    overwrite(made.find("docker-dev/v2/web/blobs/*"))
    overwrite(made.find("docker-dev/v2/web/manifests/sha256:*"))
    overwrite(made.find("json-dev/a/*.conf"))


def overwrite(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(max(0, before.st_size - len(FORGED)))
        file.write(FORGED[: before.st_size])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def forge_indexes(made: Attacked) -> None:
    """All indexes say something else, some with the signature of a stranger."""
    for pattern in ("apt-dev/dists/**/*", "yum-dev/**/repodata/*", "pypi-dev/simple/**/*", "json-dev/**/*SUMS*"):
        for path in made.www.glob(pattern):
            if path.is_file() and not path.is_symlink():
                path.write_bytes(path.read_bytes() + FORGED + b"\n")
    for name in (
        "index.html",
        "docker-dev/v2/web/tags/list",
        "docker-dev/v2/web/manifests/1.2",
        "docker-dev/v2/_catalog",
    ):
        (made.www / name).write_bytes(FORGED)
    release = made.www / "apt-dev/dists/bookworm/Release"
    sign(made.stranger, "--output", release.with_name("InRelease"), "--clear-sign", release)
    sign(made.stranger, "--output", release.with_name("Release.gpg"), "--detach-sign", release)


def forge_key(made: Attacked) -> None:
    gpg = ["gpg", "--homedir", str(made.stranger.home), "--batch"]
    for name, armor in (("repo-key", ["--armor"]), ("repo-key.gpg", ["--no-armor"])):
        exported = subprocess.run([*gpg, *armor, "--export"], check=True, capture_output=True).stdout
        (made.www / name).write_bytes(exported)


def plant(made: Attacked) -> None:
    """What nobody put there: rules for Apache, a package, an image with its signature."""
    for name in (
        ".htaccess",
        "apt-dev/.htaccess",
        "apt-dev/pool/hello/hello_2_amd64.deb",
        "docker-dev/v2/web/manifests/evil",
        "docker-dev/v2/evil/tags/list",
        "docker-dev/sigstore/docker-dev/evil/signature-1",
        "v2/_evil",
    ):
        path = made.www / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FORGED)
    (made.find("docker-dev/v2/web/manifests/.htaccess")).write_bytes(FORGED)


def link_directories(made: Attacked) -> None:
    """Published directories are links to elsewhere, where files of the same names stand."""
    for number, name in enumerate(("apt-dev/dists/bookworm", "apt-dev/pool/hello")):
        (made.www / name).rename(made.lab.directory / f"directory-{number}")
        (made.www / name).symlink_to(made.victim)


def forge_backups(made: Attacked) -> None:
    """All that is backed up says something else, with the right checksum."""
    for path in made.own.glob("made/*/*.json"):
        forge_backup(path)


def forge_backup(path: Path) -> str:
    record = json.loads(path.read_text())
    del record["checksum"]
    body = base64.b64decode(record["body"]).replace(b"<summary>", b"<summary>F0RGED")
    record |= {"body": base64.b64encode(body + FORGED).decode()}
    checksum = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    path.write_bytes(json.dumps({**record, "checksum": checksum}).encode() + b"\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def forge_list(made: Attacked, seal: Callable[[bytes], dict[str, object]]) -> None:
    """Forge all backups, and the list that makes them believed."""
    path = made.own / "made/sealed"
    text = path.read_bytes().partition(b"\n")[2]
    for backup in made.own.glob("made/*/*.json"):
        before = hashlib.sha256(backup.read_bytes()).hexdigest()
        text = text.replace(before.encode(), forge_backup(backup).encode())
    path.write_bytes(json.dumps(seal(text)).encode() + b"\n" + text)


def seal_by_stranger(made: Attacked) -> None:
    def seal(text: bytes) -> dict[str, object]:
        statement = made.lab.directory / "statement"
        statement.write_text(f"packrat-agent sealed list 1\nsha256 {hashlib.sha256(text).hexdigest()}\n")
        sign(made.stranger, "--output", statement.with_suffix(".sig"), "--detach-sign", statement)
        return {"signature": base64.b64encode(statement.with_suffix(".sig").read_bytes()).decode()}

    forge_list(made, seal)


def keep_seal(made: Attacked) -> None:
    line = json.loads((made.own / "made/sealed").read_bytes().partition(b"\n")[0])
    forge_list(made, lambda text: line)


def seal_by_secret(made: Attacked) -> None:
    forge_list(made, lambda text: {"mac": hashlib.sha256(text).hexdigest()})


def seal_by_nonsense(made: Attacked) -> None:
    forge_list(made, lambda text: {"signature": [[1]]})


FORGERIES: list[tuple[Callable[[Attacked], None], bool]] = [
    (forge_mark, False),
    (link_own_files, False),
    (link_made, False),
    (link_staging, False),
    (forge_staging, False),
    (forge_packages, False),
    (forge_packages, True),
    (forge_indexes, False),
    (forge_indexes, True),
    (forge_key, False),
    (plant, True),
    (link_directories, False),
    (link_directories, True),
    (forge_backups, True),
    (seal_by_stranger, True),
    (keep_seal, True),
    (seal_by_secret, True),
    (seal_by_nonsense, True),
]
