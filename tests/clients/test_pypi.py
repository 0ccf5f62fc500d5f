"""The real pip, uv and poetry resolve and install from what the agent built, through each web server."""

import hashlib
import json
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from packrat_agent.formats.interface import WebServer
from packrat_agent.formats.pypi.pages import JSON_TYPE
from packrat_demo.build_wheel import Python, build_sdist_zip, write_sdist, write_wheel
from support.python_clients import debians_pip, installed, pip, plain_server, run, uv
from support.stage import Stage, stage
from support.web import web_server
from support.web_servers import front

# The name that a project has is not the one that its pages have.
NAMED = "My.Dashed-Pkg_Name"
PROJECT = "my-dashed-pkg-name"
FIRST = Python(NAMED, "1.0", (), files=(("dashed.py", b"VERSION = 1\n"),))
SECOND = Python(NAMED, "2.0+local.1", ("packrat-base>=1",), files=(("dashed.py", b"VERSION = 2\n"),))
TOO_NEW = Python(NAMED, "3.0", (), ">=4", (("dashed.py", b"VERSION = 3\n"),))
BASE = Python("packrat-base", "1.5", (), "", (("base.py", b"BASE = True\n"),))
SOURCE = Python("only-source", "0.1", (), files=(("source.py", b"SOURCE = 'tar'\n"),))
ZIPPED = Python("only.zipped", "0.2", (), files=(("zipped.py", b"SOURCE = 'zip'\n"),))


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror with a pypi repository; `between` is when only the first version of NAMED had been uploaded."""

    lab: Stage
    between: str


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    directory = Path(tempfile.mkdtemp(prefix="pypi-", dir="/tmp"))
    # The workers of nginx and Apache are other users.
    directory.chmod(0o755)
    try:
        with stage(directory, None, ("pypi",), "pypi") as lab:
            for python in (FIRST, BASE):
                lab.server.put(write_wheel(python, directory), ("pypi",))
            between = datetime.now(UTC).isoformat()
            for python in (SECOND, TOO_NEW):
                lab.server.put(write_wheel(python, directory), ("pypi",))
            for python in (SECOND, SOURCE):
                lab.server.put(write_sdist(python, directory), ("pypi",))
            zipped = directory / "only.zipped-0.2.zip"
            zipped.write_bytes(build_sdist_zip(ZIPPED))
            lab.server.put(zipped, ("pypi",))
            lab.agent("sync")
            yield Mirror(lab, between)
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="module", params=["built-in", "nginx", "apache"])
def index(mirror: Mirror, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the index, served by each of the servers."""
    if request.param == "built-in":
        with web_server(mirror.lab.www) as url:
            yield f"{url}/pypi-dev/simple/"
        return
    with tempfile.TemporaryDirectory(prefix="web-", dir="/tmp") as place:
        Path(place).chmod(0o755)
        site = mirror.lab.agent("site", request.param, "--host", "repo.example.com").stdout
        with front(WebServer(request.param), site, Path(place)) as url:
            yield f"{url}/pypi-dev/simple/"


def write_requirements(mirror: Mirror, directory: Path) -> str:
    """Requirements with the hashes of the files as they were built."""
    lines = []
    for requirement, name in (
        (f"{NAMED}==2.0+local.1", SECOND.wheel_name),
        ("packrat_base==1.5", BASE.wheel_name),
        ("only-source==0.1", SOURCE.sdist_name),
        ("only-zipped==0.2", "only.zipped-0.2.zip"),
    ):
        digest = hashlib.sha256((mirror.lab.directory / name).read_bytes()).hexdigest()
        lines.append(f"{requirement} --hash=sha256:{digest}\n")
    path = directory / "requirements.txt"
    path.write_text("".join(lines))
    return str(path)


ALL = {
    f"{SECOND.stem}.dist-info",
    f"{BASE.stem}.dist-info",
    f"{SOURCE.stem}.dist-info",
    f"{ZIPPED.stem}.dist-info",
}


def test_pip_installs_with_required_hashes(mirror: Mirror, index: str, tmp_path: Path) -> None:
    pip(index, tmp_path, "--require-hashes", "-r", write_requirements(mirror, tmp_path))
    assert installed(tmp_path) == ALL
    assert (tmp_path / "target/zipped.py").read_bytes() == b"SOURCE = 'zip'\n"


def test_the_former_places_of_packages_lead_to_todays(mirror: Mirror, index: str) -> None:
    links = [path for path in (mirror.lab.repo / "packages").rglob("*") if path.is_symlink()]
    assert links
    for link in links:
        address = f"{index}../packages/{urllib.parse.quote(f'{link.parent.name}/{link.name}')}"
        with urllib.request.urlopen(address.replace("/simple/..", "")) as answer:
            assert answer.read() == link.read_bytes()


def test_uv_installs_with_required_hashes(mirror: Mirror, index: str, tmp_path: Path) -> None:
    uv(index, tmp_path, "--require-hashes", "-r", write_requirements(mirror, tmp_path))
    assert installed(tmp_path) == ALL


@pytest.mark.parametrize("spelled", [NAMED, PROJECT, "my_dashed.PKG-name"])
@pytest.mark.parametrize("client", [pip, uv])
def test_a_project_is_found_however_it_is_spelled(
    mirror: Mirror, tmp_path: Path, client: Callable[..., str], spelled: str
) -> None:
    with web_server(mirror.lab.www) as url:
        client(f"{url}/pypi-dev/simple/", tmp_path, spelled)
    # The newest that this Python can use, and what it needs.
    assert installed(tmp_path) == {f"{SECOND.stem}.dist-info", f"{BASE.stem}.dist-info"}


@pytest.mark.parametrize("spelled", [NAMED, PROJECT, "my_dashed.PKG-name"])
def test_debians_pip_finds_a_project_by_any_web_server(mirror: Mirror, tmp_path: Path, spelled: str) -> None:
    """pip 22.3 to 23.1, given metadata under its older name, want the project spelled in it as it is asked for."""
    with plain_server(mirror.lab.www) as url:
        debians_pip(f"{url}/pypi-dev/simple/", tmp_path, "--only-binary=:all:", spelled)
    assert installed(tmp_path) == {f"{SECOND.stem}.dist-info", f"{BASE.stem}.dist-info"}


def test_uv_and_pip_leave_out_what_came_later(mirror: Mirror, index: str, tmp_path: Path) -> None:
    uv(index, tmp_path, "--exclude-newer", mirror.between, NAMED)
    assert installed(tmp_path) == {f"{FIRST.stem}.dist-info"}
    shutil.rmtree(tmp_path / "target")
    pip(index, tmp_path, "--uploaded-prior-to", mirror.between, NAMED)
    assert installed(tmp_path) == {f"{FIRST.stem}.dist-info"}
    shutil.rmtree(tmp_path / "target")
    uv(index, tmp_path, "--exclude-newer", "2020-01-01", NAMED, expect=None)


def test_poetry_locks_and_installs_with_hashes(index: str, tmp_path: Path) -> None:
    write_poetry_project(index, tmp_path)
    run("poetry", "lock", "--no-interaction", directory=tmp_path)
    lock = (tmp_path / "poetry.lock").read_text()
    assert lock.count("sha256:") >= 4
    run("poetry", "install", "--no-root", "--no-interaction", directory=tmp_path)
    site = next((tmp_path / ".venv/lib").glob("python*/site-packages"))
    assert (site / "dashed.py").read_bytes() == b"VERSION = 2\n"
    assert (site / "base.py").exists()
    assert (site / "source.py").exists()


def write_poetry_project(index: str, directory: Path) -> None:
    (directory / "pyproject.toml").write_text(
        '[project]\nname = "user"\nversion = "1"\nrequires-python = ">=3.11,<4"\n'
        f'dependencies = ["{NAMED} (>=1)", "only-source"]\n'
        f'[tool.poetry]\npackage-mode = false\n[[tool.poetry.source]]\nname = "mirror"\nurl = "{index}"\n'
    )


@contextmanager
def copied(mirror: Mirror, directory: Path) -> Iterator[tuple[str, Path]]:
    """Serve a copy of the mirror; gives the address of its index, and where it is."""
    copy = directory / "copy"
    shutil.copytree(mirror.lab.www, copy, symlinks=True)
    with web_server(copy) as url:
        yield f"{url}/pypi-dev/simple/", copy


def tamper(copy: Path, name: str) -> None:
    """Give one file other bytes, which a client could use just as well."""
    (path,) = (found for found in copy.glob(f"pypi-dev/packages/*/{name}") if not found.is_symlink())
    if name.endswith(".whl"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("planted.py", "")
    else:
        path.write_bytes(path.read_bytes() + b"planted\n")


@pytest.mark.parametrize("name", [SECOND.wheel_name, f"{SECOND.wheel_name}.metadata"])
def test_pip_and_uv_refuse_a_tampered_file(mirror: Mirror, tmp_path: Path, name: str) -> None:
    with copied(mirror, tmp_path) as (index, copy):
        tamper(copy, name)
        assert "hash" in pip(index, tmp_path, NAMED, expect=None).lower()
        if name.endswith(".whl"):
            requirements = write_requirements(mirror, tmp_path)
            told = uv(index, tmp_path, "--require-hashes", "-r", requirements, expect=None)
            assert "hash mismatch" in told.lower()
    assert not (tmp_path / "target/planted.py").exists()


def test_poetry_refuses_a_tampered_file(mirror: Mirror, tmp_path: Path) -> None:
    with copied(mirror, tmp_path) as (index, copy):
        write_poetry_project(index, tmp_path)
        run("poetry", "lock", "--no-interaction", directory=tmp_path)
        tamper(copy, SECOND.wheel_name)
        shutil.rmtree(tmp_path / "poetry-cache", ignore_errors=True)
        told = run("poetry", "install", "--no-root", "--no-interaction", directory=tmp_path, expect=None)
    assert "hash" in told.lower()


def test_html_needs_no_configuration(mirror: Mirror, tmp_path: Path) -> None:
    with plain_server(mirror.lab.www) as url:
        index = f"{url}/pypi-dev/simple/"
        pip(index, tmp_path, "--require-hashes", "-r", write_requirements(mirror, tmp_path))
    assert installed(tmp_path) == ALL


HTML = "text/html"
PIP = f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"


def test_caches_keep_packages_and_ask_for_pages(index: str) -> None:
    headers, page = get(f"{index}{PROJECT}/", {"Accept": JSON_TYPE})
    file = next(listed for listed in json.loads(page)["files"] if listed["filename"].endswith(".whl"))
    package = urllib.parse.urljoin(f"{index}{PROJECT}/", file["url"])
    kept = [get(path, {})[0].get("Cache-Control") for path in (package, f"{package}.metadata")]
    assert headers["Cache-Control"] == "no-cache"
    assert kept == ["public, max-age=31536000, immutable"] * 2


@pytest.mark.parametrize("page", ["", f"{PROJECT}/"], ids=["root", "project"])
@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (PIP, JSON_TYPE),
        (JSON_TYPE, JSON_TYPE),
        ("application/vnd.pypi.simple.latest+json", JSON_TYPE),
        (f"text/html, {JSON_TYPE};q=0", HTML),
        ("text/html,application/xhtml+xml,*/*;q=0.8", HTML),
        ("*/*", HTML),
        ("application/json", HTML),
        (None, HTML),
    ],
    ids=["pip", "json", "latest", "no-json", "browser", "anything", "other-json", "nothing"],
)
def test_the_form_is_the_one_asked_for(index: str, page: str, accept: str | None, kind: str) -> None:
    headers, body = get(index + page, {} if accept is None else {"Accept": accept})
    assert headers["Content-Type"].partition(";")[0] == kind
    assert "accept" in headers["Vary"].lower()
    assert "immutable" not in headers.get("Cache-Control", "")
    if kind == JSON_TYPE:
        assert json.loads(body)["meta"] == {"api-version": "1.1"}
    else:
        assert body.startswith(b"<!DOCTYPE html>")


def test_a_project_that_is_not_there_is_not_found(index: str) -> None:
    for accept in (PIP, "text/html"):
        with pytest.raises(urllib.error.HTTPError) as told:
            get(f"{index}nowhere/", {"Accept": accept})
        assert told.value.code == 404


def get(url: str, headers: Mapping[str, str]) -> tuple[Mapping[str, str], bytes]:
    with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=30) as answer:
        return answer.headers, answer.read()


def test_withdrawn_files_leave_the_index(tmp_path: Path) -> None:
    with stage(tmp_path, None, ("pypi",), "pypi") as lab:
        (one,) = lab.server.put(write_wheel(FIRST, tmp_path), ("pypi",))
        lab.server.put(write_wheel(BASE, tmp_path), ("pypi",))
        lab.agent("sync")
        simple = lab.repo / "simple"
        assert PROJECT in (simple / "index.html").read_text()
        lab.server.act(one, "fail")
        lab.agent("sync")
        assert PROJECT not in (simple / "index.html").read_text()
        assert not (simple / PROJECT / "index.html").exists()
        # Somebody may be reading the old page still.
        assert list(lab.repo.glob(f"packages/*/{FIRST.wheel_name}.metadata"))


def test_a_lost_metadata_file_is_made_again_without_a_download(tmp_path: Path) -> None:
    with stage(tmp_path, None, ("pypi",), "pypi") as lab:
        lab.server.put(write_wheel(FIRST, tmp_path), ("pypi",))
        lab.agent("sync")
        (metadata,) = lab.repo.glob("packages/*/*.metadata")
        content = metadata.read_bytes()
        metadata.unlink()
        # Nothing can be downloaded any more.
        for blob in (lab.server.data / "files").glob("*/*"):
            blob.unlink()
        lab.agent("sync")
        assert metadata.read_bytes() == content


def test_a_lost_state_costs_no_download(tmp_path: Path) -> None:
    with stage(tmp_path, None, ("pypi",), "pypi") as lab:
        lab.server.put(write_wheel(FIRST, tmp_path), ("pypi",))
        lab.agent("sync")
        before = {path: path.read_bytes() for path in lab.repo.rglob("*") if path.is_file()}
        for path in (lab.directory / "state").iterdir():
            path.unlink()
        for blob in (lab.server.data / "files").glob("*/*"):
            blob.unlink()
        lab.agent("sync")
        assert {path: path.read_bytes() for path in lab.repo.rglob("*") if path.is_file()} == before
        # Nothing of it is taken for somebody else's.
        assert "untracked" not in lab.agent("sync").stderr


def test_a_file_that_does_not_fit_is_left_out_by_name(tmp_path: Path) -> None:
    with stage(tmp_path, None, ("pypi",), "pypi", misfit_suites=("resource",)) as lab:
        lab.server.put(write_wheel(FIRST, tmp_path), ("pypi",))
        other = tmp_path / "notes_1.0.txt"
        other.write_text("not Python\n")
        lab.server.put(other, ("resource",))
        told = lab.agent("sync", expect=12)
        assert "notes_1.0.txt" in told.stdout + told.stderr
        assert PROJECT in (lab.repo / "simple/index.html").read_text()
