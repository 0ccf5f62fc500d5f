"""`verify` holds rpms, Python distributions and images to the rules of the upload, whatever hash the index has."""

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.verify.distributions import find_wrong_distribution
from packrat_agent.verify.docker_images import audit_image
from packrat_agent.verify.docker_signatures import Signing
from packrat_agent.verify.findings import Named, Subject
from packrat_agent.verify.repodata import Package
from packrat_agent.verify.rpms import find_wrong_rpm
from packrat_agent.verify.signatures import Keyring
from packrat_demo.build_rpm import Rpm, build_rpm
from packrat_demo.build_wheel import Python, build_wheel

RPM = Rpm("hello", "2.0", "x86_64", files=(("/opt/hello", b"hello\n"),))
PACKAGE = Package("", "x86_64/hello.rpm", 0, "hello", "2.0-1", "x86_64")
PYTHON = Python("hello", "2.0", ())


def wrong_rpm(directory: Path, data: bytes, package: Package = PACKAGE) -> str | None:
    path = directory / "it.rpm"
    path.write_bytes(data)
    return find_wrong_rpm(path, package)


def wrong_wheel(directory: Path, data: bytes, name: str = PYTHON.wheel_name, metadata: str = "") -> str | None:
    path = directory / "it.whl"
    path.write_bytes(data)
    return find_wrong_distribution(path, name, metadata)


def changed(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def without_metadata(wheel: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive, zipfile.ZipFile(packed, "w") as other:
        for name in archive.namelist():
            if not name.endswith("METADATA"):
                other.writestr(name, archive.read(name))
    return packed.getvalue()


def test_good_packages_are_sound(tmp_path: Path) -> None:
    assert wrong_rpm(tmp_path, build_rpm(RPM)) is None
    assert wrong_wheel(tmp_path, build_wheel(PYTHON)) is None


@pytest.mark.parametrize(
    "data",
    [
        build_rpm(RPM)[:200],
        changed(build_rpm(RPM), -3),
        build_rpm(RPM)[:-3],
        b"",
        b"no rpm",
        build_rpm(replace(RPM, files=((f"/opt/{'a' * 247}", b"hello\n"),))),
    ],
    ids=["torn", "damaged payload", "torn payload", "empty", "another file", "a name that rpm can't create"],
)
def test_an_rpm_that_the_upload_refuses_is_a_fault(tmp_path: Path, data: bytes) -> None:
    told = wrong_rpm(tmp_path, data)
    assert told is not None
    assert told.startswith("would be refused at upload: ")


@pytest.mark.parametrize("other", [{"name": "other"}, {"version": "1:2.0-1"}, {"arch": "noarch"}], ids=str)
def test_another_rpm_than_primary_names_is_a_fault(tmp_path: Path, other: dict[str, Any]) -> None:
    [(word, value)] = other.items()
    told = wrong_rpm(tmp_path, build_rpm(RPM), replace(PACKAGE, **other))
    assert told is not None
    assert f"{value!r} in primary" in told, word


@pytest.mark.parametrize(
    "data",
    [build_wheel(PYTHON)[:-8], without_metadata(build_wheel(PYTHON)), b"", b"\x1f\x8b no gzip"],
    ids=["torn", "without metadata", "empty", "another file"],
)
def test_a_wheel_that_the_upload_refuses_is_a_fault(tmp_path: Path, data: bytes) -> None:
    told = wrong_wheel(tmp_path, data)
    assert told is not None
    assert told.startswith("would be refused at upload: ")


def test_a_wheel_that_is_called_otherwise_is_a_fault(tmp_path: Path) -> None:
    for name in ("hello-3.0-py3-none-any.whl", "other-2.0-py3-none-any.whl", "hello-2.0.tar.gz"):
        assert wrong_wheel(tmp_path, build_wheel(PYTHON), name) is not None


def test_a_wheel_with_other_metadata_inside_is_a_fault(tmp_path: Path) -> None:
    told = wrong_wheel(tmp_path, build_wheel(PYTHON), metadata="0" * 64)
    assert told == "has other metadata inside than the file beside it"


OCI = "application/vnd.oci.image"


def wrong_config(top: Path, config: bytes) -> list[str]:
    """What is wrong with the blobs of an image that has one layer and this configuration."""
    image = top / "docker-dev/v2/web"

    def put(directory: str, data: bytes, media_type: str) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        (image / directory).mkdir(parents=True, exist_ok=True)
        (image / directory / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    layer = put("blobs", b"a layer", f"{OCI}.layer.v1.tar")
    described = put("blobs", config, f"{OCI}.config.v1+json")
    manifest = json.dumps({"schemaVersion": 2, "config": described, "layers": [layer]}).encode()
    digest = put("manifests", manifest, f"{OCI}.manifest.v1+json")["digest"]
    (image / "manifests/1.0").write_bytes(manifest)
    (image / f"_refs/{digest}").mkdir(parents=True)
    (image / f"_refs/{digest}/manifest.ocim").write_bytes(manifest)
    (image / "_refs/1.0").symlink_to(digest)
    (image / "tags").mkdir()
    (image / "tags/list").write_text(json.dumps({"name": "web", "tags": ["1.0"]}))
    findings = audit_image(Subject(top, None), "docker-dev", "web", Signing(None, listed=False))
    looks = [finding.look for finding in findings if isinstance(finding, Named) and finding.look is not None]
    assert looks
    return [told for told in (look() for look in looks) if told is not None]


def test_an_image_whose_configuration_the_upload_refuses_is_a_fault(tmp_path: Path) -> None:
    def config(*diff_ids: str) -> bytes:
        return json.dumps({"architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()

    layer = f"sha256:{'0' * 64}"
    assert wrong_config(tmp_path / "good", config(layer)) == []
    for number, wrong in enumerate((config(), config(layer, layer), config("md5:0"), b"[]", b"{")):
        [told] = wrong_config(tmp_path / str(number), wrong)
        assert told.startswith("would be refused at upload: ")


def test_a_gpgv_that_does_not_end_is_a_fault_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpgv").write_text("#!/bin/sh\nexec yes >&2\n")
    (tmp_path / "gpgv").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    told = Keyring(b"").verify(b"signed", b"signature")
    assert told is not None
    assert "its signature can't be verified" in told
    assert Keyring(b"").read_message(b"signed")[1] == told
