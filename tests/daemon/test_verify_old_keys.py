"""Signatures of a key that has expired or was revoked are faults, all of them."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.verify.tree import verify_tree
from support.every_type import faults_of, fill, mirror_of_all
from support.keys import Key, gnupg_home, make_key
from support.stage import Stage
from support.tree_edits import APT, RHEL

MADE, CHANGED = "20200101T000000", "20200201T000000"


def gpg(home: Path, *arguments: str, data: str = "") -> bytes:
    """Run gpg on a keyring without a passphrase."""
    command = ["gpg", "--homedir", str(home), "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]
    return subprocess.run([*command, *arguments], input=data.encode(), check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def old_key() -> Iterator[Key]:
    """A key that was made long ago, and never expires so far."""
    with gnupg_home() as home:
        yield make_key(home, "Old <old@example.com>", faked_time=MADE)


@pytest.fixture(scope="module")
def old_mirror(tmp_path_factory: pytest.TempPathFactory, old_key: Key) -> Iterator[Stage]:
    """A mirror with packages of every type, signed while the key was good."""
    with mirror_of_all(tmp_path_factory.mktemp("mirror"), old_key) as lab:
        fill(lab)
        lab.agent("sync")
        yield lab


@pytest.fixture(params=["expired", "revoked"])
def public_key(request: pytest.FixtureRequest, old_key: Key, tmp_path: Path) -> Path:
    """The same key as it may be at another time, its home left as it is."""
    with gnupg_home() as home:
        shutil.copytree(
            old_key.home, home, dirs_exist_ok=True, ignore=lambda _, names: [name for name in names if name[:2] == "S."]
        )
        if request.param == "expired":
            gpg(home, "--faked-system-time", CHANGED, "--quick-set-expire", old_key.fingerprint, "1m")
        else:
            certificate = (home / f"openpgp-revocs.d/{old_key.fingerprint}.rev").read_text()
            gpg(home, "--import", data=certificate.replace("\n:-----", "\n-----"))
        path = tmp_path / f"{request.param}.gpg"
        path.write_bytes(gpg(home, "--export"))
    return path


def test_every_signature_of_a_key_that_is_good_no_more_is_a_fault(old_mirror: Stage, public_key: Path) -> None:
    assert faults_of(old_mirror.www) == {}
    found: dict[str, str] = {}
    for fault in verify_tree(old_mirror.www, public_key, lambda _files, _bytes: None).faults:
        found[fault.path] = fault.what
    signed = (
        re.escape(f"{APT}/InRelease"),
        re.escape(f"{APT}/Release.gpg"),
        re.escape(f"{RHEL}/repodata/repomd.xml.asc"),
        re.escape(RHEL) + r"/.*\.rpm",
        r"json-dev/SHA256SUMS\.gpg",
        r"json-dev/SHA256SUMS\.signed",
        r"json-dev/.*/MANIFEST_all\.json\.gpg",
        r"docker-dev/sigstore/.*/signature-1",
    )
    for pattern in signed:
        told = [what for path, what in found.items() if re.fullmatch(pattern, path)]
        assert told, f"{pattern}: {found}"
        assert all(public_key.stem in what for what in told), told
    told_by_command = old_mirror.agent("verify", "--key", str(public_key), expect=13)
    assert public_key.stem in told_by_command.stdout
