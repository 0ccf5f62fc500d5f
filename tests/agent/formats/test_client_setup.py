"""The lines that the landing page has for clients."""

import re
import subprocess
from pathlib import Path

import pytest

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.key_places import MAIN_KEY
from packrat_agent.model.records import DistroVersion, Repo
from support.keys import Key
from support.kinds import JSON, KINDS
from support.type_stage import type_stage
from support.web import web_server

REPO = Repo("r", "", "there/r", "any", (DistroVersion("here", "rhel", "9", "rpm"),))


@pytest.mark.parametrize(
    ("kind", "words"), [("pypi", "trusted-host repo.example.com:81"), ("docker", "tls-verify=false")]
)
def test_a_client_is_told_to_do_without_tls_only_where_there_is_none(kind: str, words: str) -> None:
    for scheme, expected in (("http", True), ("https", False)):
        setup = FORMATS[kind].client_setup(REPO, f"{scheme}://repo.example.com:81", MAIN_KEY)[0].lines
        assert (words in setup) == expected
        assert "repo.example.com:81/there/r/" in setup


@pytest.mark.parametrize(
    ("distro", "client"), [("rhel", "dnf"), ("fedora", "dnf"), ("sles", "zypper"), ("opensuse-leap", "zypper")]
)
def test_a_distribution_is_told_the_lines_of_its_client(distro: str, client: str) -> None:
    repo = Repo("r", "", "r", "yum", (DistroVersion("here", distro, "15", "rpm"),))
    setup = FORMATS["yum"].client_setup(repo, "https://repo.example.com", MAIN_KEY)[0].lines
    assert f"sudo {client} " in setup


@pytest.mark.parametrize("kind", sorted(set(FORMATS) - {"docker"}))
def test_no_line_has_what_bash_takes_for_an_earlier_command(kind: str) -> None:
    # An image name has no `!`, so a docker repository with such a directory is refused.
    versions = (DistroVersion("here", "rhel", "9", "rpm"),)
    repo = Repo("r", "", "a!b/c!!", kind, versions)
    setups = FORMATS[kind].client_setup(repo, "https://repo.example.com", MAIN_KEY)
    assert any("/a%21b/c%21%21/" in setup.lines or "/a%21b/c%21%21 " in setup.lines for setup in setups)
    assert not any("!" in setup.lines for setup in setups)


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_the_address_of_an_ipv6_host_is_a_word_and_no_pattern(kind: str) -> None:
    versions = (DistroVersion("bookworm", "debian" if kind == "apt" else "rhel", "12", "rpm"),)
    repo = Repo("r", "", "there/r", kind, versions)
    setups = FORMATS[kind].client_setup(repo, "http://[2001:db8::1]:81", MAIN_KEY)
    commands = "curl sudo sed tee pip poetry podman docker skopeo gpgv sha256sum dpkg grep paste tr"
    nothing = " ".join(f"{command}() {{ return 0; }};" for command in commands.split())
    for setup in setups:
        if "[[tool.uv" in setup.lines:
            continue  # This one goes into a file.
        # As zsh always does, bash refuses with `failglob` a pattern that no file matches.
        lines = re.sub(r"suite=.*", "suite=12", setup.lines)
        shell = ["bash", "-O", "failglob", "-c", f"{nothing}\n{lines}"]
        done = subprocess.run(shell, capture_output=True, text=True, check=False)
        assert "no match" not in done.stderr, setup.lines


def test_the_lines_for_files_work_when_pasted(tmp_path: Path, key: Key) -> None:
    with type_stage(tmp_path, key, JSON) as made:
        made.put("hello", "1.0")
        made.lab.agent("sync")
        [file] = [path for path in made.packages() if "hello" in path]
        with web_server(made.lab.www) as url:
            repo = Repo("r", "", made.lab.repo.name, "json", ())
            lines = FORMATS["json"].client_setup(repo, url, MAIN_KEY)[0].lines.replace("PACKAGE/FILE", file)
            done = subprocess.run(["sh", "-ec", lines], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^{re.escape(file)}: OK$", done.stdout, re.M)


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_the_landing_page_calls_signed_what_is_signed_and_nothing_else(tmp_path: Path, key: Key, kind: str) -> None:
    made_of = next(known for known in KINDS if known.name == kind)
    with type_stage(tmp_path, key, made_of) as made:
        made.put("hello", "1.0")
        for url in (None, "http://repo.example.com"):
            made.lab.extra = {"public_url": url} if url else {}
            made.lab.write_config()
            made.lab.agent("sync")
            page = (made.lab.www / "index.html").read_text()
            found = [path.name for path in made.lab.repo.rglob("*")]
            signatures = [name for name in found if re.search(r"gpg$|asc$|InRelease|signature-", name)]
            assert ('<p class="signed">Signed: ' in page) == bool(signatures), (kind, url, page)
            assert ("Nothing in it is signed" in page) != bool(signatures), (kind, url, page)
            assert ("sigstore/policy.json" in page) <= (made.lab.repo / "sigstore/policy.json").exists()
