"""Somebody may write to root_dir, but not to the state database: nothing that is forged there is signed or published.

Each row of SECURITY.md's table "What is read back from root_dir" is forged here, then a sync runs.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crash.test_die_anywhere import die
from packrat_agent.formats.docker.unpack import unpack_image
from packrat_agent.model.changes import NOTHING_CONFIRMED, Confirmed
from packrat_agent.model.entries import Fragment
from packrat_agent.publish.claim import take_confirmed, write_confirmed
from packrat_agent.state.fragment_backup import _write
from packrat_core.fs.locks import FileLock
from packrat_demo.build_deb import Deb
from packrat_demo.build_image import Image, build_classic, write_image
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.build_wheel import Python, write_wheel
from support.every_type import faults_of, mirror_of_all
from support.forgeries import DEB, FORGED, FORGERIES, SAFE, WEB, Attacked, read_tree
from support.keys import Key, new_key
from support.stage import stage


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


@pytest.mark.parametrize(
    ("forge", "loses_state"), FORGERIES, ids=[f"{forge.__name__}{'-lost' * lost}" for forge, lost in FORGERIES]
)
def test_forged_files_are_neither_signed_nor_published(
    mirror: Attacked, forge: Callable[[Attacked], None], loses_state: bool
) -> None:
    for aside in ("aside", "directory-0", "directory-1"):
        subprocess.run(["rm", "-rf", mirror.lab.directory / aside], check=True)
    forge(mirror)
    if loses_state:
        mirror.lab.lose_state()
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
        lab.lose_state()
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
        aside = secret.rename(tmp_path / "secret")
        lab.lose_state()
        aside.rename(secret)
        assert " 0 B downloaded" in lab.agent("sync").stdout
        lab.lose_state()
        said = lab.agent("sync")
        assert " 0 B downloaded" not in said.stdout
        assert "its seal does not verify" in said.stderr
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
    write_confirmed(state_db, Confirmed(removals=True, clock=False))
    assert take_confirmed(state_db) == Confirmed(removals=True, clock=False)
    assert take_confirmed(state_db) == NOTHING_CONFIRMED


@pytest.mark.parametrize("swaps", [False, True], ids=["bytes", "directory"])
def test_pointers_left_ready_by_a_crash_are_not_published_once_forged(mirror: Attacked, swaps: bool) -> None:
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
