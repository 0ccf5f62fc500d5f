"""Proves a mirror with the real clients of each type, each in a private root."""

import os
import shutil
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packrat_demo.client_run import ClientRun, run_client
from packrat_demo.private_apt import PrivateApt
from packrat_demo.private_rpm import PrivateDnf, PrivateZypper

_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Site:
    """A served mirror with the repositories of tag dev: its URL, its root_dir, and a directory for the clients."""

    url: str
    root: Path
    scratch: Path


@dataclass(frozen=True, slots=True)
class Proof:
    """The proof of a type of repository.

    Attributes:
        name: The client.
        program: Its program.
        package: The Debian package that has the program.
        shows: What a run proves, as the end of a sentence.
        run: Runs the client, step by step.
    """

    name: str
    program: str
    package: str
    shows: str
    run: Callable[[Site], Iterator[ClientRun]]


def _apt(site: Site) -> Iterator[ClientRun]:
    keyring = _download(site, "repo-key.gpg")
    lines = [f"deb [signed-by={keyring}] {site.url}/apt-dev {suite} main\n" for suite in ("bookworm", "trixie")]
    apt = PrivateApt(site.scratch / "apt", "".join(lines))
    for arguments in (("update",), ("download", "packrat-guide", "packrat-hello=1.1-1")):
        yield apt.run(*arguments)


def _dnf(site: Site) -> Iterator[ClientRun]:
    repo_file = (site.root / "yum-dev/rhel/main/9/yum-dev.repo").read_text().replace("@MIRROR@", site.url)
    run = PrivateDnf(site.scratch / "dnf", repo_file).run("install", "packrat-hello")
    yield ClientRun("dnf install packrat-hello  # gpgcheck=1, repo_gpgcheck=1", _tail(run.output), run.exit_code)


def _zypper(site: Site) -> Iterator[ClientRun]:
    repo_file = (site.root / "yum-dev/sles/main/15/yum-dev.repo").read_text().replace("@MIRROR@", site.url)
    zypper = PrivateZypper(site.scratch / "zypper", repo_file)
    for arguments in (("refresh",), ("install", "packrat-hello")):
        run = zypper.run(*arguments)
        yield ClientRun(f"zypper {' '.join(arguments)}", _tail(run.output), run.exit_code)


def _pip(site: Site) -> Iterator[ClientRun]:
    index, target = f"{site.url}/pypi-dev/simple/", site.scratch / "pip"
    options = ("--isolated", "--disable-pip-version-check", "--no-cache-dir", "--index-url", index)
    yield _run(site, [sys.executable, "-m", "pip", "install", *options, "--target", str(target), "packrat-hello"])


def _skopeo(site: Site) -> Iterator[ClientRun]:
    host = site.url.removeprefix("http://")
    policy = site.root / "docker-dev/sigstore/policy.json"
    # The file for registries.d tells where the signatures are.
    registries = site.scratch / "registries.d"
    registries.mkdir()
    (registries / "demo.yaml").write_bytes((site.root / "docker-dev/sigstore/registries.yaml").read_bytes())
    image = f"docker://{host}/docker-dev/packrat-hello:latest"
    command = [
        "skopeo",
        "--registries.d",
        str(registries),
        "--policy",
        str(policy),
        "copy",
        "--src-tls-verify=false",
        image,
        f"dir:{site.scratch}/image",
    ]
    run = _run(site, command)
    # skopeo begins with TLS, for which the web server of the demo logs `malformed`.
    yield ClientRun(f"{run.command}  # tries https first: `malformed` above", run.output, run.exit_code)


def _gpgv(site: Site) -> Iterator[ClientRun]:
    directory = site.scratch / "files"
    keyring = _download(site, "repo-key.gpg")
    _download(site, "json-dev/SHA256SUMS.signed", directory)
    verify = ["gpgv", "--keyring", str(keyring), "--output", "SHA256SUMS", "SHA256SUMS.signed"]
    yield _run(site, verify, directory)
    for line in (directory / "SHA256SUMS").read_text().splitlines():
        name = line.partition("  ")[2]
        _download(site, f"json-dev/{name}", (directory / name).parent)
    yield _run(site, ["sha256sum", "-c", "SHA256SUMS"], directory)


APT = (Proof("apt-get", "apt-get", "apt", "verified the signatures and downloaded two packages", _apt),)
YUM = (
    Proof("dnf", "dnf", "dnf", "verified the signatures of index and package, and installed it", _dnf),
    Proof("zypper", "zypper", "zypper", "verified the signatures of index and package, and installed it", _zypper),
)
PYPI = (Proof("pip", sys.executable, "python3-pip", "installed the project by its hash", _pip),)
DOCKER = (Proof("skopeo", "skopeo", "skopeo", "verified the image's signature and pulled it", _skopeo),)
JSON = (Proof("gpgv", "gpgv", "gpgv", "verified the checksums' signature, and sha256sum every file", _gpgv),)


def is_installed(proof: Proof) -> bool:
    """Tell whether the machine has the program."""
    return shutil.which(proof.program) is not None


def _download(site: Site, path: str, directory: Path | None = None) -> Path:
    target = (directory or site.scratch) / path.rpartition("/")[2]
    target.parent.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(f"{site.url}/{path}", timeout=_TIMEOUT_S) as answer:  # noqa: S310 our own server
        target.write_bytes(answer.read())
    return target


def _run(site: Site, command: list[str], directory: Path | None = None) -> ClientRun:
    run = run_client(command, {**os.environ, "LC_ALL": "C.UTF-8"}, directory or site.scratch, _TIMEOUT_S)
    shown = run.command.replace(sys.executable, "python3").replace(f"{site.scratch}/", "")
    return ClientRun(shown, _tail(run.output), run.exit_code)


def _tail(output: str) -> str:
    return "\n".join([line for line in output.splitlines() if line.strip()][-6:])
