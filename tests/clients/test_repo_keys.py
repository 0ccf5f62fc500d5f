"""A key for each tag: clients take no repository for another, and each sees only the key of its own."""

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb
from packrat_demo.build_image import build_classic
from packrat_demo.private_apt import PrivateApt
from packrat_demo.private_rpm import PrivateDnf, PrivateZypper
from support.docker_registry import HOST, WEB_1, Registry, docker_stage, open_place, policy, put
from support.keys import gnupg_home
from support.stage import DEADLINE_S
from support.two_tags import EVERYWHERE, TwoTags, serve_in_place, two_tags
from support.web import web_server

SUMS = "SHA256SUMS.signed"
RELEASE = "apt-prod/dists/bookworm/Release"
IN_PLACE = "is that of the repository 'apt-dev', and stands in place of that of apt-prod"


def tag_key(mirror: TwoTags) -> str:
    return f"[tag prod]\ngpg_sign_key: {mirror.other.fingerprint}\n"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoTags]:
    """A mirror with a key for prod; dev has a later version, and is published later than prod."""
    with gnupg_home() as home, two_tags(tmp_path_factory.mktemp("mirror"), home) as made:
        made.configure(tag_key(made))
        made.put_all("1.0", EVERYWHERE)
        made.lab.agent("sync")
        made.put_all("2.0", ("dev",))
        made.lab.agent("sync")
        yield made


@pytest.fixture(scope="module")
def one_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoTags]:
    """The same with one key for all."""
    with gnupg_home() as home, two_tags(tmp_path_factory.mktemp("one"), home, ("apt", "yum")) as made:
        made.put_all("1.0", EVERYWHERE)
        made.lab.agent("sync")
        made.put_all("2.0", ("dev",))
        made.lab.agent("sync")
        yield made


@pytest.fixture
def site(mirror: TwoTags, tmp_path: Path) -> Path:
    """A copy of the tree, for an attacker."""
    return copy(mirror, tmp_path)


def copy(mirror: TwoTags, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mirror.lab.www, tmp_path / "site", symlinks=True))


def fetch(url: str) -> bytes:
    answer: bytes = urllib.request.urlopen(url, timeout=DEADLINE_S).read()
    return answer


def apt_of(url: str, key: str, tmp_path: Path) -> PrivateApt:
    keyring = tmp_path / "keyring.gpg"
    keyring.write_bytes(fetch(f"{url}/{key}"))
    return PrivateApt(tmp_path / "apt", f"deb [signed-by={keyring}] {url}/apt-prod bookworm main\n")


def dnf_of(url: str, tmp_path: Path) -> PrivateDnf:
    text = fetch(f"{url}/yum-prod/rhel/main/9/yum-prod.repo").decode().replace("@MIRROR@", url)
    return PrivateDnf(tmp_path / "dnf", text)


def test_each_client_is_given_the_key_of_its_repository(mirror: TwoTags) -> None:
    www = mirror.lab.www
    published = {path.name for path in (www / "repo-keys").iterdir()}
    assert published == {f"{kind}-prod.{form}" for kind in ("apt", "yum", "json") for form in ("asc", "gpg")}
    page = (www / "index.html").read_text()
    for_dev, for_prod = (page[page.rindex(f">{name}</a>") :].partition("<h2>")[0] for name in ("apt-dev", "apt-prod"))
    assert "/repo-key.gpg" in for_dev
    assert "repo-keys" not in for_dev
    assert "-o /etc/apt/keyrings/packrat-repo-apt-prod.gpg 'http://THIS-HOST/repo-keys/apt-prod.gpg'" in unescape(
        for_prod
    )
    assert "signed-by=/etc/apt/keyrings/packrat-repo-apt-prod.gpg" in for_prod
    assert "Signed-By: /etc/apt/keyrings/packrat-repo-apt-prod.gpg" in for_prod
    assert '<a href="repo-keys/apt-prod.asc">' in for_prod
    assert "gpgv --keyring ./json-prod.gpg" in page
    for name, key in (("yum-dev", "repo-key"), ("yum-prod", "repo-keys/yum-prod.asc")):
        assert f"\ngpgkey=@MIRROR@/{key}\n" in (www / name / f"rhel/main/9/{name}.repo").read_text()
    # The same package file has a copy for each key.
    copies = [
        (www / name / "rhel/main/9/noarch/hello-1.0-1.noarch.rpm").read_bytes() for name in ("yum-dev", "yum-prod")
    ]
    assert copies[0] != copies[1]
    assert mirror.faults(www) == []


def test_clients_take_what_the_key_of_their_repository_signed(mirror: TwoTags, tmp_path: Path) -> None:
    with web_server(mirror.lab.www) as url:
        assert apt_of(url, "repo-keys/apt-prod.gpg", tmp_path).run("update").exit_code == 0
        done = dnf_of(url, tmp_path).run("install", "hello")
        assert done.exit_code == 0, done.output
        assert verified_sums(url, tmp_path) == 0


def test_apt_refuses_another_repository_in_place_of_its_own(mirror: TwoTags, site: Path, tmp_path: Path) -> None:
    with web_server(site) as url:
        apt = apt_of(url, "repo-keys/apt-prod.gpg", tmp_path)
        assert apt.run("update").exit_code == 0
        serve_in_place(site, "apt-dev", "apt-prod")
        refused = apt.run("-o", "APT::Update::Error-Mode=any", "update")
        assert refused.exit_code != 0
        assert "NO_PUBKEY" in refused.output
        madison = apt.run("madison", "hello", program="apt-cache").output
        assert "1.0-1" in madison
        assert "2.0-1" not in madison


def test_dnf_refuses_another_repository_in_place_of_its_own(mirror: TwoTags, site: Path, tmp_path: Path) -> None:
    with web_server(site) as url:
        dnf = dnf_of(url, tmp_path)
        assert dnf.run("makecache").exit_code == 0
        serve_in_place(site, "yum-dev", "yum-prod")
        refused = dnf.run("makecache", "--refresh")
        assert refused.exit_code != 0
        assert "GPG" in refused.output


def test_zypper_refuses_another_repository_unless_it_trusts_the_key_of_that_one(
    mirror: TwoTags, site: Path, tmp_path: Path
) -> None:
    with web_server(site) as url:
        texts = [fetch(f"{url}/{name}/rhel/main/9/{name}.repo").decode() for name in ("yum-prod", "yum-dev")]
        prod, dev = (text.replace("@MIRROR@", url) for text in texts)
        of_prod, of_both = PrivateZypper(tmp_path / "prod", prod), PrivateZypper(tmp_path / "both", prod + dev)
        assert (of_prod.run("refresh").exit_code, of_both.run("refresh").exit_code) == (0, 0)
        serve_in_place(site, "yum-dev", "yum-prod")
        refused = of_prod.run("refresh", "--force", trust_new_keys=False)
        assert refused.exit_code != 0
        assert "Signature verification failed for repomd.xml" in refused.output
        # As the documentation says.
        assert of_both.run("refresh", "--force", trust_new_keys=False).exit_code == 0


def verified_sums(url: str, tmp_path: Path) -> int:
    """Take the landing page's line for a list of files; gives the exit code of gpgv."""
    for path in (f"json-prod/{SUMS}", "repo-keys/json-prod.gpg"):
        (tmp_path / Path(path).name).write_bytes(fetch(f"{url}/{path}"))
    gpgv = ["gpgv", "--keyring", "./json-prod.gpg", "--output", "SHA256SUMS", SUMS]
    return subprocess.run(gpgv, cwd=tmp_path, capture_output=True, check=False, timeout=DEADLINE_S).returncode


def test_gpgv_refuses_the_files_of_another_repository(mirror: TwoTags, site: Path, tmp_path: Path) -> None:
    serve_in_place(site, "json-dev", "json-prod")
    with web_server(site) as url:
        assert verified_sums(url, tmp_path) != 0


def test_with_one_key_apt_refuses_the_other_label_and_dnf_sees_nothing(one_key: TwoTags, tmp_path: Path) -> None:
    site = copy(one_key, tmp_path)
    with web_server(site) as url:
        apt, dnf = apt_of(url, "repo-key.gpg", tmp_path), dnf_of(url, tmp_path)
        assert (apt.run("update").exit_code, dnf.run("makecache").exit_code) == (0, 0)
        for kind in ("apt", "yum"):
            serve_in_place(site, f"{kind}-dev", f"{kind}-prod")
        refused = apt.run("update")
        assert refused.exit_code != 0
        assert "changed its 'Label' value from 'apt-prod' to 'apt-dev'" in refused.output
        # A client that has never seen the repository has nothing to compare with.
        new = tmp_path / "new"
        new.mkdir()
        assert apt_of(url, "repo-key.gpg", new).run("update").exit_code == 0
        assert dnf.run("makecache", "--refresh").exit_code == 0
    # `verify` knows by the landing page which is which.
    told = dict(one_key.faults(site))
    assert told[RELEASE] == IN_PLACE
    assert told["yum-prod/rhel/main/9/repodata/repomd.xml"] == IN_PLACE.replace("apt-", "yum-")


def test_verify_holds_each_repository_to_its_key(mirror: TwoTags, site: Path) -> None:
    serve_in_place(site, "apt-dev", "apt-prod")
    told = mirror.faults(site)
    assert (RELEASE, IN_PLACE) in told
    [signature] = [what for path, what in told if path == f"{RELEASE}.gpg"]
    assert signature.endswith("this key is the main key")
    # Who changes the key as well changes it for nobody who has the right one.
    for form, main in (("asc", "repo-key"), ("gpg", "repo-key.gpg")):
        shutil.copyfile(site / main, site / f"repo-keys/apt-prod.{form}")
    assert {path for path, _ in mirror.faults(site)} == {RELEASE}
    # Without our landing page it is not known which repository is which.
    (site / "index.html").write_text("ours")
    assert mirror.faults(site) == []
    shutil.copyfile(mirror.lab.www / "index.html", site / "index.html")
    wrong = ("--key", f"apt-prdo={site / 'repo-key'}")
    said = mirror.lab.agent("verify", "--root", str(site), *wrong, expect=2).stderr
    assert "names no repository apt-prdo" in said
    given = f"apt-prod={mirror.lab.www / 'repo-keys/apt-prod.gpg'}"
    assert f"{RELEASE}.gpg" in {path for path, _ in mirror.faults(site, "--key", given)}


def test_a_client_with_a_policy_refuses_the_images_of_another_repository(mirror: TwoTags) -> None:
    with docker_stage(mirror.main) as lab, open_place() as place:
        put(lab, WEB_1, build_classic(WEB_1), ("dev", "stage"))
        source = f"docker://{HOST}/docker-dev/web:1.2"
        # Also with one key: a signature names the directory that the client asks for.
        for section in ("", f"[repo docker-dev]\ngpg_sign_key: {mirror.other.fingerprint}\n"):
            lab.config.write_text(lab.config.read_text() + section)
            lab.agent("sync")
            lab.agent("verify")
            site = Path(shutil.copytree(lab.www, place / f"site{len(section)}", symlinks=True))
            with web_server(site) as url:
                registry = Registry(url, place)
                checked = policy(lab, registry)
                registry.run("skopeo", "copy", source, f"dir:{place / f'image{len(section)}'}", policy=checked)
                shutil.rmtree(site / "docker-dev")
                shutil.copytree(site / "docker-stage", site / "docker-dev", symlinks=True)
                (site / "docker-dev/sigstore/docker-stage").rename(site / "docker-dev/sigstore/docker-dev")
                told = registry.run("skopeo", "copy", source, f"dir:{place / 'none'}", policy=checked, expect=1)
                assert "Source image rejected" in told


def test_another_key_of_a_repository_signs_only_this_one_again(mirror: TwoTags) -> None:
    before = mirror.lab.tree()
    dev, prod = (
        mirror.lab.www / name / "rhel/main/9/noarch/hello-1.0-1.noarch.rpm" for name in ("yum-dev", "yum-prod")
    )
    try:
        sections = "".join(f"[repo {kind}-prod]\ngpg_sign_key: {mirror.main.fingerprint}\n" for kind in ("apt", "yum"))
        mirror.configure(tag_key(mirror) + sections)
        mirror.lab.agent("sync")
        after = mirror.lab.tree()
        changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        # The page says when each was published.
        assert {path.split("/")[0] for path in changed} == {"apt-prod", "yum-prod", "repo-keys", "index.html"}
        keys = {path for path in changed if path.startswith("repo-keys/")}
        assert keys == {f"repo-keys/{kind}-prod.{form}" for kind in ("apt", "yum") for form in ("asc", "gpg")}
        # The same package file, key and version of the agent give the same bytes.
        assert prod.read_bytes() == dev.read_bytes()
        assert mirror.faults(mirror.lab.www) == []
    finally:
        mirror.configure(tag_key(mirror))
        mirror.lab.agent("sync")
    assert mirror.faults(mirror.lab.www) == []


def test_a_key_is_published_before_what_it_signs(tmp_path: Path) -> None:
    with gnupg_home() as home, two_tags(tmp_path, home, ("apt",)) as made:
        made.configure(tag_key(made))
        made.lab.server.put_deb(Deb("hello", "1", "all"), tags=EVERYWHERE)
        # Killed when the first of the repositories is live.
        made.lab.sync({**os.environ, "PACKRAT_AGENT_DIE_AT": "live-noted"})
        live = set(made.lab.tree())
        assert any(path.endswith("dists/bookworm/InRelease") for path in live)
        assert {"repo-keys/apt-prod.asc", "repo-keys/apt-prod.gpg"} <= live
        made.lab.agent("sync")
        assert made.faults(made.lab.www) == []


def test_a_mirror_may_sign_prod_alone(one_key: TwoTags, tmp_path: Path) -> None:
    one_key.configure(tag_key(one_key))
    text = one_key.lab.config.read_text()
    given = f"gpg_sign_key: {one_key.main.fingerprint}\n"
    one_key.lab.config.write_text(text.replace(given, "gpg_sign_key: none\n", 1))
    one_key.lab.agent("sync")
    www = one_key.lab.www
    assert not (www / "repo-key").exists()
    assert not (www / "apt-dev/dists/bookworm/InRelease").exists()
    assert one_key.faults(www) == []
    page = (www / "index.html").read_text()
    assert "each repository that is signed says what is signed, and with which key" in page
    assert "trusted=yes" in page[page.index('id="repository-apt-dev') : page.index('id="repository-apt-prod')]
    assert (
        "none of [mirror]: only repositories with a key of their own are signed" in one_key.lab.agent("status").stdout
    )
    with web_server(www) as url:
        assert apt_of(url, "repo-keys/apt-prod.gpg", tmp_path).run("update").exit_code == 0


def test_status_and_check_speak_of_each_key(mirror: TwoTags) -> None:
    status = mirror.lab.agent("status").stdout
    assert re.search(rf"^key +{mirror.main.fingerprint} ", status, re.MULTILINE)
    assert re.search(rf"^key +\[tag prod\] {mirror.other.fingerprint} ", status, re.MULTILINE)
    [told] = json.loads(mirror.lab.agent("status", "--json").stdout)["section_keys"]
    assert (told["section"], told["key"]["fingerprint"]) == ("tag prod", mirror.other.fingerprint)
    try:
        mirror.configure(f"{tag_key(mirror)}[repo apt-prdo]\ngpg_sign_key: {mirror.other.fingerprint}\n")
        text = "[repo apt-prdo] in mirror.conf is of no repository of this mirror"
        assert text in mirror.lab.agent("sync").stderr
        assert text in mirror.lab.agent("status").stdout
        assert text in mirror.lab.agent("check", "--allow-stopped", "--disk-free", "0", expect=1).stdout
        mirror.configure(f"{tag_key(mirror)}[repo apt-prod]\ngpg_sign_key: {'0' * 40}\n")
        assert (
            f"[repo apt-prod]: gpg_sign_key {'0' * 40} is not in the keyring"
            in mirror.lab.agent("sync", expect=6).stderr
        )
    finally:
        mirror.configure(tag_key(mirror))
        mirror.lab.agent("sync")
