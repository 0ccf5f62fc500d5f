"""Somebody may write to root_dir, but not to the state database: nothing that is forged there is signed or published.

Each row of SECURITY.md's table "What is read back from root_dir" is forged here, then a sync runs.
"""

import base64
import gzip
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crash.test_die_anywhere import die
from packrat_agent.formats.docker.unpack import unpack_image
from packrat_agent.model.changes import NOTHING_CONFIRMED, Confirmed
from packrat_agent.model.entries import Fragment
from packrat_agent.publish.claim import confirm, take_confirmed
from packrat_agent.state.fragment_backup import _write
from packrat_core.fs.locks import FileLock
from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.build_image import Image, build_classic, write_image
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.build_wheel import Python, write_wheel
from support.every_type import faults_of, mirror_of_all
from support.keys import Key, new_key
from support.stage import Stage, stage
from support.tree_edits import sign
from support.type_stage import LOST

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

    def lose_state(self) -> None:
        for path in (self.lab.directory / "state").glob(LOST):
            path.unlink()


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
            found[name] = re.sub(rb'"upload-time": ?"[^"]*"', b"", data)
    return found


@pytest.fixture(scope="module")
def stranger() -> Iterator[Key]:
    with new_key("Stranger <stranger@example.com>") as made:
        yield made


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory, key: Key, stranger: Key) -> Iterator[Attacked]:
    directory = tmp_path_factory.mktemp("forged")
    with mirror_of_all(directory, key) as lab:
        files = directory / "files"
        files.mkdir()
        lab.server.put_deb(DEB)
        lab.server.put(write_rpm(Rpm("one", "1", "x86_64", files=(("/one", b"1"),)), files), ("sles15",))
        lab.server.put(write_wheel(Python("Some.Project", "1.0"), files), ("pypi",))
        lab.server.put(write_image(WEB, files, build_classic(WEB)), ("docker",))
        (files / "a_1.conf").write_text("a = 1\n")
        lab.server.put(files / "a_1.conf", ("resource",))
        lab.agent("sync")
        made = Attacked(lab, stranger, read_tree(lab.www))
        made.victim.mkdir()
        for name in ("file", "Release", "InRelease", "Release.gpg", "hello_1_amd64.deb"):
            (made.victim / name).write_text(SAFE)
        (made.victim / "below").mkdir()
        (made.victim / "below" / "file").write_text(SAFE)
        yield made


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


@pytest.mark.parametrize(
    ("forge", "loses_state"), FORGERIES, ids=[f"{forge.__name__}{'-lost' * lost}" for forge, lost in FORGERIES]
)
def test_what_is_forged_is_neither_signed_nor_published(
    mirror: Attacked, forge: Callable[[Attacked], None], loses_state: bool
) -> None:
    for aside in ("aside", "directory-0", "directory-1"):
        subprocess.run(["rm", "-rf", mirror.lab.directory / aside], check=True)
    forge(mirror)
    if loses_state:
        mirror.lose_state()
    said = mirror.lab.agent("sync")
    assert read_tree(mirror.www) == mirror.published, said.stderr
    assert faults_of(mirror.www) == {}
    for path in mirror.victim.rglob("*"):
        assert path.is_dir() or path.read_text() == SAFE, path
    assert len(list(mirror.victim.rglob("*"))) == 7
    # Whatever was planted there, the agent's own directory is sound again: a lost state costs no download now.
    assert " 0 added, 0 withdrawn" in mirror.lab.agent("sync").stdout


def test_a_forged_backup_of_an_image_that_is_not_downloaded_yet_is_not_signed(mirror: Attacked, tmp_path: Path) -> None:
    """The state database is sound; the attacker knows what the server is going to offer."""
    files = tmp_path / "files"
    files.mkdir()
    image = Image("web", "9.9", ((("web", b"genuine\n"),),))
    archive = build_classic(image)
    evil = write_image(Image("web", "9.9", ((("web", FORGED),),)), files)
    products = tmp_path / "products"
    products.mkdir()
    fragment = unpack_image(evil, products)
    sha256 = hashlib.sha256(archive).hexdigest()
    made = mirror.own / "made/docker-1-none"
    (made / f"{sha256}.json").write_bytes(_write(sha256, fragment))
    for product in fragment.products:
        path = mirror.www / "docker-dev/v2/web" / product.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((products / product.sha256).read_bytes())
    [uri] = mirror.lab.server.put(write_image(image, files, archive), ("docker",))
    try:
        said = mirror.lab.agent("sync")
        assert "not believed" in said.stderr
        genuine = unpack_image(files / image.file_name, products)
        assert (mirror.www / "docker-dev/v2/web/manifests/9.9").read_bytes() == genuine.body.partition(b"\n")[2]
        forged = top_of(fragment)
        assert forged not in " ".join(str(path) for path in mirror.www.rglob("*"))
        assert faults_of(mirror.www) == {}
    finally:
        mirror.lab.server.untag(uri, "dev")
        mirror.lab.agent("sync")
        mirror.published = read_tree(mirror.www)


def top_of(fragment: Fragment) -> str:
    return fragment.body.partition(b".")[0].decode()


def test_a_name_never_gets_other_bytes_also_after_a_lost_state(tmp_path: Path, key: Key) -> None:
    with stage(tmp_path, key) as lab:
        [former] = lab.server.put_deb(DEB)
        lab.server.put_deb(Deb("staying", "1", "amd64"))
        lab.agent("sync")
        lab.server.act(former, "fail")
        lab.extra = {"grace_period": "0", "keep_generations": "0", "index_grace_period": "0"}
        lab.write_config()
        lab.agent("sync")
        lab.agent("sync")
        assert not list(lab.repo.glob("pool/*/hello*"))
        for path in (lab.directory / "state").glob(LOST):
            path.unlink()
        number = former.split(":")[1]
        made = lab.server.data
        subprocess.run(
            ["python3", "-c", _FORGET, str(made / "packrat.db"), number], check=True, capture_output=True, text=True
        )
        lab.server.put_deb(Deb("hello", "1", "amd64", files=(("/usr/share/hello", b"other bytes"),)))
        said = lab.agent("sync", expect=12)
        assert "published before with other bytes" in said.stdout + said.stderr
        assert "Package: hello" not in lab.packages()


_FORGET = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db:
    db.execute("DELETE FROM package_file_tags WHERE package_file = ?", (sys.argv[2],))
    db.execute("DELETE FROM package_files WHERE id = ?", (sys.argv[2],))
"""


def test_without_a_key_a_secret_beside_the_state_database_seals(tmp_path: Path) -> None:
    with stage(tmp_path, None, ("docker",), "docker") as lab:
        (tmp_path / "files").mkdir()
        lab.server.put(write_image(WEB, tmp_path / "files", build_classic(WEB)), ("docker",))
        lab.agent("sync")
        secret = lab.directory / "state/state.db.secret"
        assert secret.stat().st_mode & 0o777 == 0o600
        state = [path for path in (lab.directory / "state").glob(LOST) if path != secret]
        for path in state:
            path.unlink()
        assert " 0 B downloaded" in lab.agent("sync").stdout
        for path in (*state, secret):
            path.unlink()
        said = lab.agent("sync")
        assert " 0 B downloaded" not in said.stdout
        assert "not this mirror's" in said.stderr
        assert faults_of(lab.www) == {}


def test_a_holder_that_somebody_names_gets_no_signal(mirror: Attacked) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander, FileLock(mirror.own / "lock") as lock:
        assert lock.try_exclusive()
        told = {"pid": bystander.pid, "host": os.uname().nodename, "command": "run"}
        (mirror.own / "lock.holder").write_text(json.dumps(told))
        assert f"process {bystander.pid}" in mirror.lab.agent("sync", expect=8).stderr
        assert bystander.poll() is None
        bystander.kill()
    (mirror.own / "lock.holder").unlink()


def test_nobody_but_the_operator_confirms(mirror: Attacked) -> None:
    state_db = mirror.lab.directory / "state/state.db"
    for word in ("accept-removals", "trust-clock"):
        (mirror.own / word).write_bytes(b"")
    assert take_confirmed(state_db) == NOTHING_CONFIRMED
    confirm(state_db, Confirmed(removals=True, clock=False))
    assert take_confirmed(state_db) == Confirmed(removals=True, clock=False)
    assert take_confirmed(state_db) == NOTHING_CONFIRMED


@pytest.mark.parametrize("swaps", [False, True], ids=["bytes", "directory"])
def test_what_a_crash_left_to_be_shown_is_not_shown_once_it_is_forged(mirror: Attacked, swaps: bool) -> None:
    [uri] = mirror.lab.server.put_deb(Deb("later", "2" if swaps else "1", "amd64"))
    die(mirror.lab, "pointers-ready")
    [ready] = (mirror.own / "publishing").glob("repo-*")
    for path in ready.iterdir():
        path.write_bytes(FORGED)
    if swaps:
        elsewhere = ready.rename(mirror.lab.directory / "elsewhere")
        ready.symlink_to(elsewhere)
    try:
        said = mirror.lab.agent("sync")
        assert swaps or "can't be completed" in said.stderr
        read_tree(mirror.www)
        assert "Package: later" in mirror.lab.packages()
        assert faults_of(mirror.www) == {}
        assert not swaps or {path.read_bytes() for path in elsewhere.iterdir()} == {FORGED}
    finally:
        mirror.lab.server.untag(uri, "dev")
        mirror.lab.agent("sync")
        mirror.published = read_tree(mirror.www)
