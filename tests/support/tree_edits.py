"""Changes a published tree the way somebody would who wants nobody to notice."""

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

from support.keys import Key
from support.stage import Stage

RHEL = "yum-dev/rhel/main/9"

APT = "apt-dev/dists/bookworm"

SLES = "yum-dev/sles/main/15"

WEB = "docker-dev/v2/web"

SIMPLE = "pypi-dev/simple"


def sign(signer: Key | None, *arguments: str | Path) -> None:
    assert signer is not None
    command = ["gpg", "--homedir", signer.home, "--batch", "--yes", *arguments]
    subprocess.run(command, check=True, capture_output=True)


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def replace_numbers(path: Path, behind: str, number: str) -> None:
    path.write_text(re.sub(rf"(?<={behind})\d+", number, path.read_text()))


def edit_metadata(tree: Path, kind: str, before: str, after: str, place: str = SLES) -> None:
    """Change a metadata file so that its checksums are right all the same; the signature is not."""
    directory = tree / place / "repodata"
    old = next(directory.glob(f"*-{kind}.xml.gz"))
    plain = gzip.decompress(old.read_bytes())
    assert before.encode() in plain
    changed = plain.replace(before.encode(), after.encode())
    packed = gzip.compress(changed)
    name = f"{hashlib.sha256(packed).hexdigest()}-{kind}.xml.gz"
    (directory / name).write_bytes(packed)
    repomd = directory / "repomd.xml"
    for one, other in (
        (old.name, name),
        (old.name.partition("-")[0], name.partition("-")[0]),
        (hashlib.sha256(plain).hexdigest(), hashlib.sha256(changed).hexdigest()),
        (f"<size>{old.stat().st_size}<", f"<size>{len(packed)}<"),
        (f"<open-size>{len(plain)}<", f"<open-size>{len(changed)}<"),
    ):
        edit(repomd, one, other)
    old.unlink()


def unsigned_rpm(mirror: Stage, tree: Path) -> None:
    """A package as it was uploaded, in metadata that fits."""
    rpm = next((tree / SLES / "x86_64").glob("one-*.rpm"))
    whole = rpm.read_bytes()
    shutil.copyfile(mirror.directory / "files" / rpm.name, rpm)
    plain = rpm.read_bytes()
    old, new = hashlib.sha256(whole).hexdigest(), hashlib.sha256(plain).hexdigest()
    for kind in ("primary", "filelists", "other"):
        edit_metadata(tree, kind, old, new)
    edit_metadata(tree, "primary", f'package="{len(whole)}"', f'package="{len(plain)}"')


def swap(one: Path, other: Path) -> None:
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def web_signature(tree: Path, tag: str) -> Path:
    digest = hashlib.sha256((tree / WEB / "manifests" / tag).read_bytes()).hexdigest()
    return tree / f"docker-dev/sigstore/docker-dev/web@sha256={digest}/signature-1"


def unsafe_policy(tree: Path, stranger: Key) -> None:
    path = tree / "docker-dev/sigstore/policy.json"
    exported = subprocess.run(
        ["gpg", "--homedir", stranger.home, "--armor", "--export"], check=True, capture_output=True
    ).stdout
    policy = json.loads(path.read_text())
    (required,) = next(iter(policy["transports"]["docker"].values()))
    required["keyData"] = base64.b64encode(exported).decode()
    path.write_text(json.dumps(policy))


def endless_message(mirror: Stage, tree: Path) -> None:
    zeros = mirror.directory / "zeros"
    zeros.write_bytes(bytes(50_000_000))
    sign(mirror.key, "-z", "9", "-o", web_signature(tree, "1.2"), "--sign", zeros)


def lost_generation(tree: Path) -> None:
    for name in ("mirrorlist", "metalink"):
        edit(tree / SLES / name, "generations/", "generations/0")
