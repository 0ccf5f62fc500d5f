"""What each client asks for, in its order, and when it fails: as little as decides its fate during a publication.

These are models. They hold for as long as the real clients ask and judge the same, which tests/crash/test_window.py
shows: it has the real ones meet the same trees at the same requests.
"""

import base64
import gzip
import hashlib
import json
import lzma
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packrat_agent.verify.signatures import Keyring
from packrat_demo.private_apt import PrivateApt
from packrat_demo.private_rpm import PrivateDnf, PrivateZypper
from support.kinds import hold
from support.stage import DEADLINE_S, Stage
from support.type_clients import PIP
from support.window import Client, Get

NAME = "hello"
"""The package that each client gets, in its newest version."""

RHEL, SLES = "yum-dev/rhel/main/9", "yum-dev/sles/main/15"
_REPO = {"c": "http://linux.duke.edu/metadata/common", "r": "http://linux.duke.edu/metadata/repo"}


class Models:
    """The clients of a mirror, which know its public key."""

    def __init__(self, keyring: Path) -> None:
        self._verify = cache(Keyring(keyring.read_bytes()).verify)
        self._read = cache(Keyring(keyring.read_bytes()).read_message)

    def _check(self, signed: bytes, detached: bytes | None) -> None:
        assert self._verify(signed, detached) is None, "the signature does not fit"

    def apt(self, get: Get, *, by_hash: bool = True) -> None:
        """`apt-get update`, `apt-get download`."""
        top = "apt-dev/dists/bookworm"
        release = get(f"{top}/InRelease")
        self._check(release, None)
        index = "main/binary-amd64"
        listed = re.search(rf"^ ([0-9a-f]{{64}}) +\d+ {index}/Packages\.xz$", release.decode(), re.M)
        assert listed, "no index for amd64"
        path = f"{index}/by-hash/SHA256/{listed[1]}" if by_hash else f"{index}/Packages.xz"
        packages = lzma.decompress(hold(get, f"{top}/{path}", listed[1])).decode()
        stanzas = [dict(re.findall(r"^(\S+): (.*)$", text, re.M)) for text in packages.split("\n\n")]
        newest = max(
            (stanza for stanza in stanzas if stanza.get("Package") == NAME), key=lambda stanza: stanza["Version"]
        )
        hold(get, f"apt-dev/{newest['Filename']}", newest["SHA256"])

    def dnf(self, get: Get) -> None:
        """`dnf install` with baseurl=."""
        repomd = self._repomd(get, RHEL)
        _package(get, RHEL, *_metadata(get, RHEL, repomd, "primary", "filelists"))

    def _repomd(self, get: Get, top: str) -> bytes:
        """Read repomd.xml and its signature, which dnf can't judge without the key; then, with the key, both again."""
        for _ in range(2):
            repomd = get(f"{top}/repodata/repomd.xml")
            signature = get(f"{top}/repodata/repomd.xml.asc")
        self._check(repomd, signature)
        return repomd

    def dnf_mirrorlist(self, get: Get) -> None:
        """`dnf install` with mirrorlist=, which it reads again before the package."""
        top = _led_by(get, RHEL)
        repomd = self._repomd(get, top)
        path, sha256 = _metadata(get, top, repomd, "primary", "filelists")
        _package(get, _led_by(get, RHEL), path, sha256)

    def zypper(self, get: Get) -> None:
        """`zypper install` with baseurl=: a first look at repomd.xml, then its signature and key, then the file."""
        self._zypper(get, SLES)

    def zypper_mirrorlist(self, get: Get) -> None:
        """`zypper install` with mirrorlist=."""
        self._zypper(get, _led_by(get, SLES))

    def _zypper(self, get: Get, top: str) -> None:
        get(f"{top}/repodata/repomd.xml")
        signature = get(f"{top}/repodata/repomd.xml.asc")
        get(f"{top}/repodata/repomd.xml.key")
        repomd = get(f"{top}/repodata/repomd.xml")
        self._check(repomd, signature)
        _package(get, top, *_metadata(get, top, repomd, "primary"))

    def pip(self, get: Get) -> None:
        """`pip install`."""
        page = json.loads(get(f"pypi-dev/simple/{NAME}/index.v1_json"))
        newest: dict[str, Any] = max(page["files"], key=lambda file: str(file["filename"]))
        path = f"pypi-dev/{unquote(newest['url']).removeprefix('../../')}"
        hold(get, f"{path}.metadata", newest["core-metadata"]["sha256"])
        hold(get, path, newest["hashes"]["sha256"])

    def skopeo(self, get: Get) -> None:
        """`skopeo copy` of the tag latest: the list of manifests, the manifest, its signatures, its blobs.

        nginx and the agent's own web server reach manifests by `_refs`.
        """
        self._skopeo(get, _by_type, lambda digest: self._from_list(get, digest), is_held=False)

    def skopeo_apache(self, get: Get) -> None:
        """The same by Apache, which reaches them by `manifests`."""
        self._skopeo(
            get, lambda name, end: f"manifests/{name}", lambda digest: self._from_list(get, digest), is_held=False
        )

    def skopeo_policy(self, get: Get) -> None:
        """The same with a signature policy: one of the signatures has to be of the tag that was asked for."""
        self._skopeo(get, _by_type, lambda digest: self._from_list(get, digest))

    def skopeo_lookaside(self, get: Get) -> None:
        """The same with the signatures as files, one after the other until there is none."""

        def read(digest: str) -> list[bytes]:
            found: list[bytes] = []
            with suppress(KeyError):
                while True:
                    name = f"{NAME}@{digest.replace(':', '=')}/signature-{len(found) + 1}"
                    found.append(get(f"docker-dev/sigstore/docker-dev/{name}"))
            return found

        self._skopeo(get, _by_type, read)

    def _from_list(self, get: Get, digest: str) -> list[bytes]:
        said = json.loads(get(f"docker-dev/extensions/v2/{NAME}/signatures/{digest}"))
        return [base64.b64decode(signature["content"]) for signature in said["signatures"]]

    def _skopeo(
        self, get: Get, place: Callable[[str, str], str], read: Callable[[str], list[bytes]], *, is_held: bool = True
    ) -> None:
        top = f"docker-dev/v2/{NAME}"
        listed = json.loads(get(f"{top}/{place('latest', 'ocii')}"))["manifests"]
        [digest] = [manifest["digest"] for manifest in listed if manifest["platform"]["architecture"] == "amd64"]
        manifest = json.loads(hold(get, f"{top}/{place(digest, 'ocim')}", digest.partition(":")[2]))
        signatures = read(digest)
        if is_held:
            texts = [self._read(signature)[0] for signature in signatures]
            names = [json.loads(text)["critical"]["identity"]["docker-reference"] for text in texts]
            assert any(name.endswith(f"/{NAME}:latest") for name in names), "no signature is of this tag"
        for blob in (*manifest["layers"], manifest["config"]):
            hold(get, f"{top}/blobs/{blob['digest']}", blob["digest"].partition(":")[2])

    def sums(self, get: Get) -> None:
        """The lines of the landing page: one file with the list and its signature."""
        signed = get("json-dev/SHA256SUMS.signed")
        self._check(signed, None)
        _listed_file(get, signed)

    def sums_detached(self, get: Get) -> None:
        """The list, then its detached signature."""
        sums = get("json-dev/SHA256SUMS")
        self._check(sums, get("json-dev/SHA256SUMS.gpg"))
        _listed_file(get, sums)

    def all_of(self, kind: str) -> dict[str, Client]:
        """Name → client, of a repository type."""
        known: dict[str, dict[str, Client]] = {
            "apt": {"apt": self.apt, "apt without by-hash": lambda get: self.apt(get, by_hash=False)},
            "yum": {
                "dnf": self.dnf,
                "dnf mirrorlist": self.dnf_mirrorlist,
                "zypper": self.zypper,
                "zypper mirrorlist": self.zypper_mirrorlist,
            },
            "pypi": {"pip": self.pip},
            "docker": {
                "skopeo": self.skopeo,
                "skopeo apache": self.skopeo_apache,
                "skopeo policy": self.skopeo_policy,
                "skopeo lookaside": self.skopeo_lookaside,
            },
            "json": {"sums": self.sums, "sums detached": self.sums_detached},
        }
        return known[kind]


def _by_type(name: str, end: str) -> str:
    return f"_refs/{name}/manifest.{end}"


def _led_by(get: Get, top: str) -> str:
    return urlsplit(get(f"{top}/mirrorlist").decode().strip()).path.strip("/")


def _metadata(get: Get, top: str, repomd: bytes, *wanted: str) -> tuple[str, str]:
    """Read metadata files; gives the path of the newest package, and its SHA-256."""
    primary = ET.Element("none")
    for data in ET.fromstring(repomd).findall("r:data", _REPO):
        if data.get("type") not in wanted:
            continue
        file = hold(get, f"{top}/{_attribute(data, 'r:location', 'href')}", data.findtext("r:checksum", "", _REPO))
        if data.get("type") == "primary":
            primary = ET.fromstring(gzip.decompress(file))
    found = {_attribute(package, "c:version", "ver"): package for package in primary.findall("c:package", _REPO)}
    newest = found[max(found)]
    return _attribute(newest, "c:location", "href"), newest.findtext("c:checksum", "", _REPO)


def _package(get: Get, top: str, path: str, sha256: str) -> None:
    hold(get, f"{top}/{path}", sha256)


def _attribute(element: ET.Element, path: str, name: str) -> str:
    found = element.find(path, _REPO)
    assert found is not None, path
    return found.attrib[name]


def _listed_file(get: Get, sums: bytes) -> None:
    sha256, path = max(re.findall(rb"^([0-9a-f]{64})  (.+)$", sums, re.M), key=lambda line: line[1])
    assert hashlib.sha256(get(f"json-dev/{path.decode()}")).hexdigest() == sha256.decode()


Real = Callable[[Stage, str, Path], str | None]
"""(stage, the mirror's address, an empty place) → what the client says if it fails, else None."""


def _apt(lab: Stage, url: str, place: Path, option: str = "") -> str | None:
    source = f"deb [signed-by={lab.www / 'repo-key.gpg'}{option}] {url}/apt-dev bookworm main\n"
    apt = PrivateApt(place, source)
    for arguments in (("update",), ("download", NAME)):
        said = apt.run(*arguments)
        if said.exit_code != 0 or "W:" in said.output:
            return said.output
    return None


def _repo_file(lab: Stage, top: str, *, is_plain: bool) -> str:
    text = (lab.www / top / "yum-dev.repo").read_text()
    return text.replace("mirrorlist=", "#mirrorlist=").replace("#baseurl=", "baseurl=") if is_plain else text


def _dnf(lab: Stage, place: Path, *, is_plain: bool) -> str | None:
    said = PrivateDnf(place, _repo_file(lab, RHEL, is_plain=is_plain)).run("install", NAME)
    return said.output if said.exit_code else None


def _zypper(lab: Stage, place: Path, *, is_plain: bool) -> str | None:
    said = PrivateZypper(place, _repo_file(lab, SLES, is_plain=is_plain)).run("install", NAME)
    return said.output if said.exit_code else None


def _run(place: Path, *command: str | Path) -> str | None:
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return f"{done.stdout}\n{done.stderr}" if done.returncode else None


def _pip(lab: Stage, url: str, place: Path) -> str | None:
    options = ["--isolated", "--disable-pip-version-check", "--no-cache-dir", f"--python={sys.executable}"]
    index = ["--index-url", f"{url}/pypi-dev/simple/", "--no-deps", "--target", str(place / "target")]
    return _run(place, PIP, *options, "install", *index, NAME)


def _skopeo_lookaside(lab: Stage, url: str, place: Path) -> str | None:
    registries = place / "registries.d"
    registries.mkdir()
    (registries / "lab.yaml").write_bytes((lab.repo / "sigstore/registries.yaml").read_bytes())
    return _skopeo(url, place, "--policy", str(lab.repo / "sigstore/policy.json"), "--registries.d", str(registries))


def _skopeo(url: str, place: Path, *policy: str) -> str | None:
    image = f"docker://{url.removeprefix('http://')}/docker-dev/{NAME}:latest"
    return _run(
        place,
        "skopeo",
        *policy,
        "--override-arch=amd64",
        "copy",
        "--src-tls-verify=false",
        image,
        f"dir:{place / 'image'}",
    )


def _sums(place: Path, url: str, *lines: str) -> str | None:
    script = [f"curl -fsSO {url}/repo-key.gpg", *lines, "path=$(tail -n 1 SHA256SUMS | cut -c 67-)"]
    script += [f'curl -fsS --create-dirs -o "$path" {url}/json-dev/"$path"', "sha256sum -c --ignore-missing SHA256SUMS"]
    return _run(place, "bash", "-ec", "\n".join(script))


def _sums_signed(lab: Stage, url: str, place: Path) -> str | None:
    check = "gpgv --keyring ./repo-key.gpg --output SHA256SUMS SHA256SUMS.signed"
    return _sums(place, url, f"curl -fsSO {url}/json-dev/SHA256SUMS.signed", check)


def _sums_detached(lab: Stage, url: str, place: Path) -> str | None:
    fetch = f"curl -fsSO {url}/json-dev/SHA256SUMS -O {url}/json-dev/SHA256SUMS.gpg"
    return _sums(place, url, fetch, "gpgv --keyring ./repo-key.gpg SHA256SUMS.gpg SHA256SUMS")


REAL: Mapping[str, Real] = {
    "apt": _apt,
    "apt without by-hash": lambda lab, url, place: _apt(lab, url, place, " by-hash=no"),
    "dnf": lambda lab, url, place: _dnf(lab, place, is_plain=True),
    "dnf mirrorlist": lambda lab, url, place: _dnf(lab, place, is_plain=False),
    "zypper": lambda lab, url, place: _zypper(lab, place, is_plain=True),
    "zypper mirrorlist": lambda lab, url, place: _zypper(lab, place, is_plain=False),
    "pip": _pip,
    "skopeo": lambda lab, url, place: _skopeo(url, place, "--insecure-policy"),
    "skopeo policy": lambda lab, url, place: _skopeo(url, place, "--policy", str(lab.repo / "sigstore/policy.json")),
    "skopeo lookaside": _skopeo_lookaside,
    "sums": _sums_signed,
    "sums detached": _sums_detached,
}
"""Name of a model → the real client."""

HIDDEN: Mapping[str, str] = {"skopeo lookaside": "v2/_signatures"}
"""Name of a model → a file that its client must not see: with it, skopeo asks the registry for signatures."""
