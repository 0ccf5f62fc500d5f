"""What real clients take from somebody who holds the way to them, or the web root: rollback, freeze, mix-and-match."""

import hashlib
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb
from packrat_demo.build_image import build_oci
from packrat_demo.private_apt import PrivateApt
from packrat_demo.private_rpm import PrivateDnf, PrivateZypper
from support.docker_registry import HOST, WEB_1, WEB_2, Registry, docker_stage, policy, put
from support.faked_clock import sync_at
from support.keys import Key, gnupg_home, make_key
from support.kinds import PYPI
from support.python_clients import pip, plain_server
from support.stage import DEADLINE_S, stage
from support.two_tags import EVERYWHERE, two_tags
from support.type_stage import type_stage
from support.web import web_server


@dataclass(frozen=True, slots=True)
class Publications:
    """Copies of one mirror: with version 1.0 alone, and with 2.0 beside it."""

    old: Path
    new: Path


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publications]:
    directory = tmp_path_factory.mktemp("mirror")
    with gnupg_home() as home, two_tags(directory, home) as made:
        copies = []
        for version in ("1.0", "2.0"):
            made.put_all(version, EVERYWHERE)
            made.lab.agent("sync")
            copies.append(directory / version)
            shutil.copytree(made.lab.www, copies[-1], symlinks=True)
        yield Publications(*copies)


@pytest.fixture
def site(published: Publications, tmp_path: Path) -> Path:
    """A copy of the new tree, for an attacker."""
    return Path(shutil.copytree(published.new, tmp_path / "site", symlinks=True))


def put_back(site: Path, published: Publications) -> None:
    """Hand out the old publication; its files get new dates, as clients ask only for what is newer."""
    shutil.rmtree(site)
    shutil.copytree(published.old, site, symlinks=True, copy_function=shutil.copyfile)


def apt_of(url: str, site: Path, directory: Path) -> PrivateApt:
    directory.mkdir()
    keyring = shutil.copyfile(site / "repo-key.gpg", directory / "mirror.gpg")
    return PrivateApt(directory / "apt", f"deb [signed-by={keyring}] {url}/apt-prod bookworm main\n")


def offers(apt: PrivateApt, version: str) -> bool:
    return f"{version}-1" in apt.run("madison", "hello", program="apt-cache").output


def repo_file(url: str, site: Path) -> str:
    return (site / "yum-prod/rhel/main/9/yum-prod.repo").read_text().replace("@MIRROR@", url)


def test_apt_keeps_the_newer_index_that_it_has(published: Publications, site: Path, tmp_path: Path) -> None:
    with web_server(site) as url:
        apt = apt_of(url, site, tmp_path / "client")
        assert apt.run("update").exit_code == 0
        put_back(site, published)
        apt.run("update")
        assert offers(apt, "2.0")
        # Who has no newer one has nothing to compare with.
        new = apt_of(url, site, tmp_path / "new")
        assert new.run("update").exit_code == 0
        assert (offers(new, "1.0"), offers(new, "2.0")) == (True, False)


def test_dnf_and_zypper_take_an_older_index(published: Publications, site: Path, tmp_path: Path) -> None:
    with web_server(site) as url:
        dnf = PrivateDnf(tmp_path / "dnf", repo_file(url, site))
        zypper = PrivateZypper(tmp_path / "zypper", repo_file(url, site))
        query = ("repoquery", "--queryformat", "%{version}", "hello")
        assert "2.0" in dnf.run("--refresh", *query).output
        assert zypper.run("refresh").exit_code == 0
        put_back(site, published)
        told = dnf.run("--refresh", *query)
        assert (told.exit_code, "1.0" in told.output, "2.0" in told.output) == (0, True, False), told.output
        assert zypper.run("refresh", "--force").exit_code == 0
        assert "| 2.0" not in zypper.run("search", "--details", "hello").output


def verified(site: Path, directory: Path) -> str:
    """Check the list of files as docs/json.md says; gives the list."""
    lists = site / "json-prod/SHA256SUMS.signed"
    gpgv = ["gpgv", "--keyring", str(site / "repo-key.gpg"), "--output", "SHA256SUMS", str(lists)]
    subprocess.run(gpgv, cwd=directory, check=True, capture_output=True, timeout=DEADLINE_S)
    return (directory / "SHA256SUMS").read_text()


def test_gpgv_takes_an_older_list_of_files(published: Publications, site: Path, tmp_path: Path) -> None:
    assert "notes_2.0.json" in verified(site, tmp_path)
    put_back(site, published)
    assert "notes_2.0.json" not in verified(site, tmp_path)


def test_indexes_of_two_publications_do_not_mix(published: Publications, site: Path, tmp_path: Path) -> None:
    """The pointer of the new publication, with the indexes of the old one in the place of its own."""
    indexes = "apt-prod/dists/bookworm/main"
    for path in (site / indexes).rglob("*"):
        if path.is_file() and not path.is_symlink():
            former = published.old / indexes / path.relative_to(site / indexes)
            other = published.old / indexes / "binary-amd64/Packages.gz"
            path.write_bytes((former if former.is_file() else other).read_bytes())
    metadata = site / "yum-prod/rhel/main/9/repodata"
    [former] = (published.old / "yum-prod/rhel/main/9/repodata").glob("*-primary.xml.gz")
    for path in metadata.glob("*-primary.xml.gz"):
        path.write_bytes(former.read_bytes())
    with web_server(site) as url:
        told = apt_of(url, site, tmp_path / "client").run("update")
        assert told.exit_code != 0
        assert "mismatch" in told.output or "unexpected size" in told.output, told.output
        refused = PrivateDnf(tmp_path / "dnf", repo_file(url, site)).run("makecache")
        assert refused.exit_code != 0
        assert "hecksum" in refused.output, refused.output


def test_other_files_than_the_list_names_are_refused(published: Publications, site: Path, tmp_path: Path) -> None:
    sums = verified(site, tmp_path)
    [line] = (line for line in sums.splitlines() if line.endswith("notes_2.0.json"))
    path = site / "json-prod" / line.partition("  ")[2]
    check = ["sha256sum", "-c", "--ignore-missing", "--strict", str(tmp_path / "SHA256SUMS")]
    assert subprocess.run(check, cwd=site / "json-prod", capture_output=True, check=False).returncode == 0
    path.write_bytes(b'{"version": "1.0"}')
    assert subprocess.run(check, cwd=site / "json-prod", capture_output=True, check=False).returncode != 0


def test_a_frozen_mirror_is_noticed_by_apt_alone_and_with_valid_until(tmp_path: Path) -> None:
    with gnupg_home() as home:
        key = make_key(home, "Old <old@example.com>", faked_time="20200101T000000")
        www = tmp_path / "www"
        www.mkdir()
        with stage(tmp_path, key, ("bookworm",)) as lab, web_server(www) as url:
            lab.server.put_deb(Deb("hello", "1.0-1", "all"))
            sync_at(lab, "-30d")
            keyring = lab.www / "repo-key.gpg"
            apt = PrivateApt(tmp_path / "apt", f"deb [signed-by={keyring}] {url}/apt-dev bookworm main\n")
            assert apt.run("update").exit_code == 0
            lab.extra["apt_valid_for"] = "604800"
            lab.write_config()
            sync_at(lab, "-29d")
            told = apt.run("update")
            assert told.exit_code != 0
            assert "is expired" in told.output
            # The next sync writes it again, though nothing changed.
            lab.agent("sync")
            assert apt.run("update").exit_code == 0


def test_python_clients_take_any_bytes_from_who_writes_the_index_too(tmp_path: Path, key: Key) -> None:
    (tmp_path / "mirror").mkdir()
    with type_stage(tmp_path / "mirror", key, PYPI) as made:
        made.put("hello", "1.0")
        made.lab.agent("sync")
        site = made.lab.repo
        [wheel] = (path for path in site.rglob("*.whl") if not path.is_symlink())
        genuine = hashlib.sha256(wheel.read_bytes()).hexdigest()
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("planted.py", "")
        forged = hashlib.sha256(wheel.read_bytes()).hexdigest()
        for page in site.rglob("index*"):
            if page.is_file() and not page.is_symlink():
                page.write_bytes(page.read_bytes().replace(f"sha256={genuine}".encode(), f"sha256={forged}".encode()))
        required = tmp_path / "requirements.txt"
        required.write_text(f"hello==1.0 --hash=sha256:{genuine}\n")
        with plain_server(made.lab.www) as url:
            index = f"{url}/pypi-dev/simple/"
            pip(index, tmp_path, "--require-hashes", "-r", str(required), expect=None)
            assert not (tmp_path / "target/planted.py").exists()
            pip(index, tmp_path, "hello==1.0")
            assert (tmp_path / "target/planted.py").exists()


def test_a_policy_for_images_takes_an_older_one_under_a_tag(tmp_path: Path, key: Key) -> None:
    with docker_stage(key) as lab:
        sites = []
        for image in (WEB_1, WEB_2):
            put(lab, image, build_oci(image))
            lab.agent("sync")
            sites.append(Path(shutil.copytree(lab.www, tmp_path / image.version, symlinks=True)))
        taken = []
        for site in sites:
            with web_server(site) as url:
                registry = Registry(url, lab.directory)
                target = f"dir:{tmp_path / f'image-{site.name}'}"
                registry.run(
                    "skopeo", "copy", f"docker://{HOST}/docker-dev/web:latest", target, policy=policy(lab, registry)
                )
                taken.append((tmp_path / f"image-{site.name}" / "manifest.json").read_bytes())
        assert taken[0] != taken[1]
