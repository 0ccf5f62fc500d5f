"""Drives the real clients that this machine has over a served tree, each in a directory of its own.

1. A client is asked for each repository of its type; what it refuses is a fault, with its last lines.
2. Nothing is installed, no code of a package is run, and the machine's own configuration of the client is not used.

Source: apt.conf(5), sources.list(5), dnf(8), dnf.conf(5), zypper(8), pip download, skopeo-copy(1).
"""

import base64
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from packrat_agent.verify.armor import crc24
from packrat_agent.verify.client_visit import Visit
from packrat_agent.verify.findings import Fault, parse_json, read_index
from packrat_agent.verify.match_paths import match_paths
from packrat_agent.verify.names import IMAGE, TAG
from packrat_agent.verify.repo_keys import RepoKeys
from packrat_agent.verify.withdrawn import is_withdrawn_suite, is_withdrawn_version

_APT_CONFIG = """\
Dir "{root}";
Dir::State::status "{root}/status";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "{root}/none";
Dir::Etc::Parts "{root}/none";
Dir::Etc::Main "{root}/none/apt.conf";
Dir::Etc::Trusted "{root}/none/trusted.gpg";
Dir::Etc::TrustedParts "{root}/none";
APT::Architecture "{architecture}";
APT::Architectures {{ {architectures} }};
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Proxy "DIRECT";
"""
_ARCHITECTURES = re.compile(rb"^Architectures: ([a-z0-9 -]+)$", re.MULTILINE)
_PROJECT = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_WHEEL = re.compile(rb"^(?!.* data-yanked=).*-none-any\.whl", re.MULTILINE)
_PROJECTS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class _Client:
    """A client: its program, the type it reads, whether only root can use it, and what visits one repository."""

    program: str
    kind: str
    needs_root: bool
    visit: Callable[[Visit, str], Iterator[Fault]]


@dataclass(frozen=True, slots=True)
class Visits:
    """The verdict of the clients: the names of those that were driven and that were not, and what they refuse."""

    driven: tuple[str, ...]
    left_out: tuple[str, ...]
    faults: tuple[Fault, ...]


def visit_tree(top: Path, keys: RepoKeys, url: str, repositories: Sequence[tuple[str, str]]) -> Visits:
    """Drive every client that the machine has over the repositories of its type.

    Args:
        top: Top of the tree.
        keys: The public key of each repository.
        url: Address that the tree is served at.
        repositories: (type, directory) of each repository.
    """
    driven: list[str] = []
    left_out: list[str] = []
    faults: list[Fault] = []
    for client in _CLIENTS:
        directories = [directory for kind, directory in repositories if kind == client.kind]
        if shutil.which(client.program) is None or (client.needs_root and os.geteuid() != 0):
            left_out.append(client.program)
            continue
        if directories:
            driven.append(client.program)
        for directory in directories:
            with tempfile.TemporaryDirectory(prefix="packrat-verify-") as scratch:
                keyring = keys.keyring_of(directory)
                binary = keyring.keys if keyring is not None else None
                try:
                    faults += client.visit(Visit(top, url, binary, Path(scratch)), directory)
                except OSError as error:
                    faults.append(Fault(directory, f"{client.program} can't be asked: {error.strerror or error}"))
    return Visits(tuple(driven), tuple(left_out), tuple(faults))


def _visit_apt(visit: Visit, directory: str) -> Iterator[Fault]:
    """Let apt-get read each suite that was not withdrawn, for all its architectures."""
    suites = [path for path in (visit.top / directory / "dists").iterdir() if not path.is_symlink() and path.is_dir()]
    for suite in sorted(path.name for path in suites):
        place = f"{directory}/dists/{suite}"
        if is_withdrawn_suite(visit.top, place):
            continue
        root = Path(tempfile.mkdtemp(dir=visit.scratch))
        for name in ("none", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt"):
            (root / name).mkdir(parents=True)
        (root / "status").touch()
        (root / "key.gpg").write_bytes(visit.keys or b"")
        option = "trusted=yes" if visit.keys is None else f"signed-by={root}/key.gpg"
        (root / "sources.list").write_text(f"deb [{option}] {visit.url}/{quote(directory)} {quote(suite)} main\n")
        listed = _ARCHITECTURES.search(_read(visit.top, f"{place}/Release"))
        names = [name for name in (listed[1].decode().split() if listed else ()) if name != "all"] or ["amd64"]
        (root / "apt.conf").write_text(
            _APT_CONFIG.format(root=root, architecture=names[0], architectures=" ".join(f'"{name}";' for name in names))
        )
        # `update` checks signatures and hashes; only `dumpavail` parses every stanza.
        for command in (("apt-get", "update"), ("apt-cache", "dumpavail")):
            refusal = visit.run(*command, more={"APT_CONFIG": f"{root}/apt.conf"})
            if refusal is not None:
                yield Fault(place, f"{command[0]} refuses it: {refusal}")
                break
        shutil.rmtree(root)


def _visit_dnf(visit: Visit, directory: str) -> Iterator[Fault]:
    """Let dnf read the metadata of each distribution version."""
    for place in _places(visit, directory):
        root = Path(tempfile.mkdtemp(dir=visit.scratch))
        for name in ("repos", "log"):
            (root / name).mkdir()
        (root / "dnf.conf").write_text("[main]\nplugins=0\n")
        (root / "repos/mirror.repo").write_text(_repo_file(visit, place))
        refusal = visit.run(
            *("dnf", f"--config={root}/dnf.conf", f"--installroot={root}/target", "--releasever=1", "--assumeyes"),
            *(f"--setopt=reposdir={root}/repos", f"--setopt=cachedir={root}/cache", f"--setopt=logdir={root}/log"),
            *(f"--setopt=varsdir={root}", "--setopt=retries=1", "makecache"),
        )
        if refusal is not None:
            yield Fault(place, f"dnf refuses it: {refusal}")
        shutil.rmtree(root)


def _visit_zypper(visit: Visit, directory: str) -> Iterator[Fault]:
    """Let zypper read the metadata of each distribution version."""
    for place in _places(visit, directory):
        root = Path(tempfile.mkdtemp(dir=visit.scratch))
        (root / "etc/zypp/repos.d").mkdir(parents=True)
        (root / "etc/zypp/repos.d/mirror.repo").write_text(_repo_file(visit, place))
        refusal = visit.run("zypper", "--root", str(root), "--non-interactive", "--gpg-auto-import-keys", "refresh")
        if refusal is not None:
            yield Fault(place, f"zypper refuses it: {refusal}")
        shutil.rmtree(root)


def _places(visit: Visit, directory: str) -> list[str]:
    found = sorted(match_paths(visit.top / directory, "*/main/*/repodata"))
    places = [str(path.parent.relative_to(visit.top)) for path in found]
    return [place for place in places if not is_withdrawn_version(visit.top, place)]


def _repo_file(visit: Visit, place: str) -> str:
    lines = ["[mirror]", "name=mirror", f"baseurl={visit.url}/{quote(place)}/", "enabled=1", "type=rpm-md"]
    lines += ["skip_if_unavailable=0", "gpgcheck=0", f"repo_gpgcheck={int(visit.keys is not None)}"]
    if visit.keys is not None:
        armored = visit.scratch / "key.asc"
        armored.write_bytes(_armor(visit.keys))
        lines.append(f"gpgkey=file://{armored}")
    return "\n".join(lines) + "\n"


def _armor(keys: bytes) -> bytes:
    body, check = base64.encodebytes(keys), base64.b64encode(crc24(keys))
    kind = b"PGP PUBLIC KEY BLOCK-----\n"
    return b"-----BEGIN " + kind + b"\n" + body + b"=" + check + b"\n-----END " + kind


def _visit_pip(visit: Visit, directory: str) -> Iterator[Fault]:
    """Let pip download the newest wheel of each project that has one for every platform, not yanked."""
    # pip would run the code of a source distribution.
    names = sorted(
        path.name
        for path in (visit.top / directory / "simple").iterdir()
        if _PROJECT.fullmatch(path.name)
        and _WHEEL.search(_read(visit.top, f"{directory}/simple/{path.name}/index.html"))
    )
    options = ("--isolated", "--disable-pip-version-check", "--no-cache-dir", "--no-input")
    index = ("--index-url", f"{visit.url}/{quote(directory)}/simple/", "--no-deps", "--only-binary=:all:", "--pre")
    for start in range(0, len(names), _PROJECTS_AT_ONCE):
        target = visit.scratch / "downloads"
        download = ("pip", *options, "download", *index, "--ignore-requires-python", "--dest", str(target))
        together = names[start : start + _PROJECTS_AT_ONCE]
        if visit.run(*download, *together, more={"PIP_CONFIG_FILE": os.devnull}) is not None:
            # pip stops at the first that it refuses.
            for name in together:
                refusal = visit.run(*download, name, more={"PIP_CONFIG_FILE": os.devnull})
                if refusal is not None:
                    yield Fault(f"{directory}/simple/{name}", f"pip refuses it: {refusal}")
        shutil.rmtree(target, ignore_errors=True)


def _read(top: Path, path: str) -> bytes:
    """Return the content of a file; b'' if it can't be read, which the audit reports."""
    try:
        return read_index(top, path)
    except OSError:
        return b""


def _visit_skopeo(visit: Visit, directory: str) -> Iterator[Fault]:
    """Let skopeo copy each image, under each of its tags."""
    host = visit.url.partition("//")[2]
    for name in _strings(visit.top, f"{directory}/v2/_catalog", "repositories", IMAGE):
        for tag in _strings(visit.top, f"{directory}/v2/{name}/tags/list", "tags", TAG):
            target = visit.scratch / "image"
            # A policy names the public address, so signatures are left to the audit.
            refusal = visit.run(
                *("skopeo", "--insecure-policy", "copy", "--all", "--src-tls-verify=false"),
                *(f"docker://{host}/{directory}/{name}:{tag}", f"dir:{target}"),
            )
            if refusal is not None:
                yield Fault(f"{directory}/v2/{name}/manifests/{tag}", f"skopeo refuses it: {refusal}")
            shutil.rmtree(target, ignore_errors=True)


def _strings(top: Path, path: str, key: str, pattern: str) -> list[str]:
    """Return the texts of a list in a JSON file that match; the audit reports the others."""
    value = parse_json(path, _read(top, path), [])
    listed = value.get(key) if isinstance(value, dict) else None
    if not isinstance(listed, list):
        return []
    return [text for text in listed if isinstance(text, str) and re.fullmatch(pattern, text, re.ASCII)]


_CLIENTS: Sequence[_Client] = (
    _Client("apt-get", "apt", False, _visit_apt),
    _Client("dnf", "yum", False, _visit_dnf),
    _Client("zypper", "yum", True, _visit_zypper),
    _Client("pip", "pypi", False, _visit_pip),
    _Client("skopeo", "docker", False, _visit_skopeo),
)
