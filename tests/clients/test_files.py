"""sha256sum, gpgv and a JSON schema hold a repository of any files."""

import json
import subprocess
import tarfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from packrat_demo.build_deb import Deb, write_deb
from support.keys import Key
from support.stage import Stage, stage
from support.web import web_server

SCHEMA = Path(__file__).parents[2] / "docs/MANIFEST_all.schema.json"
TYPES = ("resource", "tar", "img", "ova", "appimage", "respkg", "json")
FILES = {
    "conf_1.0.json": b'{"a": 1}\n',
    "conf_1.1.json": b'{"a": 2}\n',
    "disk_2026.11.img": bytes(4096),
    "machine_7.ova": b"not really a machine\n",
    "Tool_3.AppImage": b"\x7fELF",
    "set_1.respkg": b"parts",
    "empty_1.0.bin": b"",
    "noext_1.0": b"x",
}


@pytest.fixture
def lab(tmp_path: Path, key: Key) -> Iterator[Stage]:
    with stage(tmp_path, key, TYPES, "json") as made:
        yield made


def put(lab: Stage, name: str, content: bytes) -> str:
    path = lab.directory / name
    path.write_bytes(content)
    (uri,) = lab.server.put(path, ())
    return uri


def fill(lab: Stage) -> None:
    for name, content in FILES.items():
        put(lab, name, content)
    packed = lab.directory / "tree_1.0-rc.1.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(lab.directory / "conf_1.0.json", "conf.json")
    lab.server.put(packed, ())


def manifest(lab: Stage) -> dict[str, list[dict[str, Any]]]:
    text = (lab.repo / "_repo_main/MANIFEST_all.json").read_text()
    value = json.loads(text)
    fastjsonschema.compile(json.loads(SCHEMA.read_text()))(value)
    assert text == json.dumps(value, indent=2, sort_keys=True) + "\n"
    assert isinstance(value, dict)
    return value


def sha256sum(lab: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["sha256sum", "-c", "--strict", *arguments, "SHA256SUMS"]
    return subprocess.run(command, cwd=lab.repo, capture_output=True, text=True, check=False)


def gpgv(lab: Stage, signature: Path, signed: Path) -> int:
    command = ["gpgv", "--keyring", str(lab.www / "repo-key.gpg"), str(signature), str(signed)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_the_manifest_lists_every_file_as_its_schema_says(lab: Stage) -> None:
    fill(lab)
    lab.agent("sync")
    listed = manifest(lab)
    assert sorted(listed) == ["Tool", "conf", "disk", "empty", "machine", "noext", "set", "tree"]
    assert [(file["version"], file["type"]) for file in listed["conf"]] == [("1.0", "resource"), ("1.1", "resource")]
    (tree,) = listed["tree"]
    assert (tree["version"], tree["type"], tree["path"]) == ("1.0-rc.1", "tar", "tree/tree_1.0-rc.1.tar.gz")
    kinds = {file["type"] for files in listed.values() for file in files}
    assert kinds == {"resource", "tar", "img", "ova", "appimage", "respkg"}
    for package, files in listed.items():
        for file in files:
            assert file["path"].startswith(f"{package}/")
            assert (lab.repo / file["path"]).stat().st_size == file["size"]


def test_sha256sum_checks_every_file(lab: Stage) -> None:
    fill(lab)
    lab.agent("sync")
    done = sha256sum(lab)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK\n") == len(FILES) + 1
    (lab.repo / "conf/conf_1.0.json").write_bytes(b"other")
    assert sha256sum(lab).returncode == 1
    # Who has one file only can check it too.
    (lab.repo / "conf/conf_1.0.json").unlink()
    assert sha256sum(lab, "--ignore-missing").returncode == 0


@pytest.mark.parametrize(
    ("signature", "signed"),
    [
        ("SHA256SUMS.gpg", "SHA256SUMS"),
        ("SHA256SUMS.asc", "SHA256SUMS"),
        ("_repo_main/MANIFEST_all.json.gpg", "_repo_main/MANIFEST_all.json"),
    ],
)
def test_gpgv_verifies_the_lists(lab: Stage, signature: str, signed: str) -> None:
    put(lab, "conf_1.0.json", b"{}\n")
    lab.agent("sync")
    content = (lab.repo / signature).read_bytes()
    assert content.startswith(b"-----BEGIN PGP SIGNATURE-----") == signature.endswith(".asc")
    assert gpgv(lab, lab.repo / signature, lab.repo / signed) == 0
    forged = lab.directory / "forged"
    forged.write_bytes((lab.repo / signed).read_bytes() + b" ")
    assert gpgv(lab, lab.repo / signature, forged) != 0


def client_lines(lab: Stage, url: str, path: str) -> list[str]:
    """The commands that the landing page gives for the repository, for a file at `path`."""
    page = (lab.www / "index.html").read_text()
    lines = unescape(page.partition("<pre>")[2].partition("</pre>")[0]).replace("@MIRROR@", url)
    return lines.replace("PACKAGE/FILE", path).splitlines()


def test_the_lines_of_the_landing_page_check_a_file(lab: Stage) -> None:
    put(lab, "conf_1.0.json", b"{}\n")
    lab.www.mkdir()
    with web_server(lab.www) as url:
        lab.extra = {"public_url": url}
        lab.write_config()
        lab.agent("sync")
        [fetch_list, fetch_file, check] = client_lines(lab, url, "conf/conf_1.0.json")
        assert run_lines(lab, fetch_list, fetch_file, check).endswith("conf/conf_1.0.json: OK\n")
        # gpgv writes what a forged list says all the same.
        signed = lab.directory / "client/SHA256SUMS.signed"
        signed.write_text(signed.read_text().replace("conf/", "cond/"))
        with pytest.raises(subprocess.CalledProcessError):
            run_lines(lab, check)


def run_lines(lab: Stage, *lines: str) -> str:
    (lab.directory / "client").mkdir(exist_ok=True)
    command = ["bash", "-ec", "\n".join(lines)]
    return subprocess.run(command, cwd=lab.directory / "client", check=True, capture_output=True, text=True).stdout


def test_the_clear_signed_list_is_the_list(lab: Stage, tmp_path: Path) -> None:
    fill(lab)
    lab.agent("sync")
    told = tmp_path / "told"
    command = ["gpgv", "--keyring", str(lab.www / "repo-key.gpg"), "--output", str(told)]
    subprocess.run([*command, str(lab.repo / "SHA256SUMS.signed")], check=True, capture_output=True)
    assert told.read_bytes() == (lab.repo / "SHA256SUMS").read_bytes()
    lab.agent("verify")


def test_verify_takes_a_tree_of_an_agent_that_wrote_no_clear_signed_list(lab: Stage) -> None:
    lab.agent("sync")
    page = lab.www / "index.html"
    page.write_text(page.read_text().replace("SHA256SUMS.signed", "SHA256SUMS.gpg"))
    (lab.repo / "SHA256SUMS.signed").unlink()
    lab.agent("verify")


def test_an_empty_repository_is_a_valid_one(lab: Stage) -> None:
    lab.agent("sync")
    assert manifest(lab) == {}
    assert (lab.repo / "SHA256SUMS").read_bytes() == b""
    assert gpgv(lab, lab.repo / "SHA256SUMS.gpg", lab.repo / "SHA256SUMS") == 0
    lab.agent("verify")


def test_withdrawn_files_leave_the_lists(lab: Stage) -> None:
    uri = put(lab, "conf_1.0.json", b"{}\n")
    put(lab, "conf_1.1.json", b"{ }\n")
    lab.agent("sync")
    lab.server.act(uri, "fail")
    lab.agent("sync")
    assert [file["version"] for file in manifest(lab)["conf"]] == ["1.1"]
    assert "conf_1.0" not in (lab.repo / "SHA256SUMS").read_text()
    assert gpgv(lab, lab.repo / "SHA256SUMS.gpg", lab.repo / "SHA256SUMS") == 0


def test_nothing_is_signed_without_a_key(tmp_path: Path) -> None:
    with stage(tmp_path, None, TYPES, "json") as lab:
        put(lab, "conf_1.0.json", b"{}\n")
        lab.agent("sync")
        names = {str(path.relative_to(lab.repo)) for path in lab.repo.rglob("*") if path.is_file()}
    listed = {name for name in names if name.startswith("_repo_main/packages/")}
    assert names - listed == {"SHA256SUMS", "_repo_main/MANIFEST_all.json", "conf/conf_1.0.json"}


def test_files_with_a_repository_type_of_their_own_are_left_out_by_name(tmp_path: Path) -> None:
    with stage(tmp_path, None, ("resource", "bookworm"), "json") as lab:
        put(lab, "conf_1.0.json", b"{}\n")
        lab.server.put(write_deb(Deb("hello", "1", "all"), tmp_path), ("bookworm",))
        told = lab.agent("sync", expect=12)
        assert "hello_1_all.deb" in told.stdout + told.stderr
        assert list(manifest(lab)) == ["conf"]


def test_a_package_can_not_take_the_place_of_the_manifest(tmp_path: Path) -> None:
    with stage(tmp_path, None, TYPES, "json") as lab:
        put(lab, "conf_1.0.json", b"{}\n")
        put(lab, "SHA256SUMS_1.0.txt", b"mine\n")
        told = lab.agent("sync", expect=12)
        assert "SHA256SUMS_1.0.txt" in told.stdout + told.stderr
        assert list(manifest(lab)) == ["conf"]
