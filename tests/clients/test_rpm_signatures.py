"""Real rpms of several releases judge what the agent signs, whoever signed it before; `verify` judges as they do."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.rpmsign import PackageSigner, sign_package
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.verify.rpm_signatures import find_wrong_signature
from packrat_agent.verify.signatures import Keyring
from packrat_demo.build_rpm import Rpm, write_rpm
from support.keys import Key, new_key
from support.other_debian import RELEASES, write_programs
from support.rpm_signatures import DSA, GPG_OF_BOTH, OPENPGP, PGP_OF_BOTH, RSA, read, sha256_of, with_signatures

HERE = "here"
OLD, NEW = "rpm before version 6", "rpm 6"
HELLO = Rpm("hello", "1.0", "noarch", files=(("/opt/hello", b"hi"),))
OLD_HELLO = replace(HELLO, is_old=True)
BUILT_BY = pytest.mark.parametrize("package", [HELLO, OLD_HELLO], ids=["new rpm", "rpm before 4.14"])


@pytest.fixture(scope="module")
def eddsa_key() -> Iterator[Key]:
    with new_key("Mirror <mirror25519@example.com>", "ed25519") as key:
        yield key


@pytest.fixture(scope="module")
def strangers(vendor_key: Key) -> Iterator[Mapping[str, Key]]:
    """Keys of others, by algorithm."""
    with new_key("Vendor <w@example.com>", "ed25519") as eddsa:
        yield {"rsa": vendor_key, "eddsa": eddsa}


@pytest.fixture(scope="module", params=[HERE, *RELEASES])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A release whose rpmkeys is the one in PATH."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != HERE:
            programs = write_programs(request.param, tmp_path_factory.mktemp("programs"))
            patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        yield request.param


class Rpmkeys:
    """The real rpmkeys with one key, which takes only what is signed, and well."""

    def __init__(self, directory: Path, key: Key) -> None:
        self._directory = directory
        (directory / "key").write_bytes(export(key, "--armor"))
        self.run("--import", str(directory / "key"))
        version = subprocess.run(["rpm", "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]
        self.reading = OLD if int(version.partition(".")[0]) < 6 else NEW

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        options = ["--dbpath", str(self._directory / "db"), "--define", "_pkgverify_level all"]
        return subprocess.run(["rpmkeys", *options, *arguments], capture_output=True, text=True, check=False)

    def accepts(self, rpm: Path) -> bool:
        return self.run("--checksig", str(rpm)).returncode == 0


def export(key: Key, *options: str) -> bytes:
    gpg = ["gpg", "--homedir", str(key.home), "--batch", *options, "--export", key.fingerprint]
    return subprocess.run(gpg, check=True, capture_output=True).stdout


def signer_of(key: Key) -> SigningKey:
    return find_key(key.fingerprint, key.home, None, datetime.now(UTC))


BY_OTHERS = {
    "nobody": {},
    "RSA": {RSA: "rsa"},
    "EdDSA": {DSA: "eddsa"},
    "two algorithms": {RSA: "rsa", DSA: "eddsa"},
    "rpm 6": {OPENPGP: "rsa"},
    "rpm 6 with EdDSA": {OPENPGP: "eddsa"},
    "rpm 6, also for older ones": {RSA: "rsa", OPENPGP: "rsa"},
    "rpm 6, two keys": {OPENPGP: "rsa eddsa"},
    "rpm 3": {RSA: "rsa", PGP_OF_BOTH: "rsa"},
    "rpm 3 with EdDSA": {DSA: "eddsa", GPG_OF_BOTH: "eddsa"},
}


@BUILT_BY
@pytest.mark.parametrize("ours", ["rsa_key", "eddsa_key"])
@pytest.mark.parametrize("before", sorted(BY_OTHERS))
def test_every_rpm_takes_what_we_sign_whoever_signed_it_before(
    release: str,
    before: str,
    ours: str,
    package: Rpm,
    strangers: Mapping[str, Key],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    key: Key = request.getfixturevalue(ours)
    made = {tag: tuple(strangers[name] for name in names.split()) for tag, names in BY_OTHERS[before].items()}
    rpm = write_rpm(package, tmp_path)
    with_signatures(rpm, made)
    rpmkeys = Rpmkeys(tmp_path, key)
    assert not rpmkeys.accepts(rpm)
    keyring = Keyring(export(key))
    assert find_wrong_signature(keyring, rpm) is not None
    signed = sign_package(rpm, sha256_of(rpm), tmp_path, PackageSigner(signer_of(key)))
    assert signed is not None
    copy = tmp_path / signed.sha256
    said = rpmkeys.run("--checksig", "--verbose", str(copy))
    assert said.returncode == 0, said.stdout + said.stderr
    assert find_wrong_signature(keyring, copy) is None
    # Signed once, it stays as it is; and the headers and the payload are those of the package.
    assert sign_package(copy, sha256_of(copy), tmp_path, PackageSigner(signer_of(key))) is None
    assert copy.read_bytes().endswith(rpm.read_bytes()[read(rpm).start :])
    assert signed.size == copy.stat().st_size


AS_CLIENTS_SEE = {
    "ours for every rpm": {RSA: "ours", OPENPGP: "ours"},
    "ours for older ones": {RSA: "ours"},
    "ours for rpm 6": {OPENPGP: "ours"},
    "a stranger's for rpm 6": {RSA: "ours", OPENPGP: "rsa"},
    "ours for rpm 6, a stranger's for older ones": {RSA: "rsa", OPENPGP: "ours"},
    "a stranger's beside ours": {RSA: "ours", DSA: "eddsa"},
    "a stranger's of header and payload": {RSA: "ours", GPG_OF_BOTH: "eddsa"},
    "ours of header and payload": {RSA: "ours", PGP_OF_BOTH: "ours"},
    "a stranger's beside ours for rpm 6": {OPENPGP: "ours eddsa"},
}


@BUILT_BY
@pytest.mark.parametrize("name", sorted(AS_CLIENTS_SEE))
def test_verify_judges_as_the_rpm_that_reads_it(
    release: str, name: str, package: Rpm, rsa_key: Key, strangers: Mapping[str, Key], tmp_path: Path
) -> None:
    keys = {"ours": rsa_key, **strangers}
    made = {tag: tuple(keys[word] for word in words.split()) for tag, words in AS_CLIENTS_SEE[name].items()}
    rpm = write_rpm(package, tmp_path)
    with_signatures(rpm, made)
    rpmkeys = Rpmkeys(tmp_path, rsa_key)
    wrong = find_wrong_signature(Keyring(export(rsa_key)), rpm)
    if rpmkeys.accepts(rpm):
        assert wrong is None or rpmkeys.reading not in wrong
    else:
        assert wrong is not None


@pytest.mark.parametrize("before", sorted(BY_OTHERS))
def test_a_vendors_signature_stays_if_only_unsigned_packages_are_to_be_signed(
    before: str, rsa_key: Key, strangers: Mapping[str, Key], tmp_path: Path
) -> None:
    made = {tag: tuple(strangers[name] for name in names.split()) for tag, names in BY_OTHERS[before].items()}
    rpm = write_rpm(HELLO, tmp_path)
    with_signatures(rpm, made)
    signed = sign_package(rpm, sha256_of(rpm), tmp_path, PackageSigner(signer_of(rsa_key), only_unsigned=True))
    assert (signed is None) is bool(made)


def test_other_tags_of_a_signature_header_stay(rsa_key: Key, tmp_path: Path) -> None:
    rpm = write_rpm(HELLO, tmp_path)
    signed = sign_package(rpm, sha256_of(rpm), tmp_path, PackageSigner(signer_of(rsa_key)))
    assert signed is not None
    before, after = read(rpm).signature, read(tmp_path / signed.sha256).signature
    # Each in the place of its own: packages in rpm 6's format have no other place than the second.
    assert {RSA, OPENPGP} <= after.items.keys()
    assert {tag: before.data(tag) for tag in before.items} == {
        tag: after.data(tag) for tag in after.items if tag not in (RSA, OPENPGP)
    }


def test_a_signature_that_leaves_out_the_payload_comes_with_a_hint(rsa_key: Key, tmp_path: Path) -> None:
    rpm = write_rpm(OLD_HELLO, tmp_path)
    with_signatures(rpm, {RSA: (rsa_key,)})
    told = find_wrong_signature(Keyring(export(rsa_key)), rpm)
    assert told is not None
    assert told.startswith("is refused by every rpm from 4.14 on")
    assert told.endswith("remove the file, and the next full sync signs it again")
