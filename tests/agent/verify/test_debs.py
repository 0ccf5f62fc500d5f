"""`verify` holds each .deb to the rules of the upload, whatever hash the index has for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.verify.debs import find_wrong_deb
from packrat_agent.verify.findings import Fault
from packrat_demo.build_deb import Deb, build_deb

DEB = Deb("hello", "1:2.0-1", "amd64")
FIELDS = {"Package": "hello", "Version": "1:2.0-1", "Architecture": "amd64"}


def wrong(directory: Path, data: bytes) -> str | None:
    path = directory / "it.deb"
    path.write_bytes(data)
    with path.open("rb") as file:
        return find_wrong_deb(FIELDS, file)


def test_a_good_deb_is_sound(tmp_path: Path) -> None:
    assert wrong(tmp_path, build_deb(DEB)) is None


@pytest.mark.parametrize(
    "data",
    [
        build_deb(DEB)[:-8],
        build_deb(DEB) + b"bytes that are no member",
        build_deb(replace(DEB, fields=(("Depends", "a (= )"),))),
        b"",
    ],
    ids=["torn", "followed", "stops apt", "empty"],
)
def test_packages_refused_at_upload_are_faults(tmp_path: Path, data: bytes) -> None:
    told = wrong(tmp_path, data)
    assert told is not None
    assert told.startswith("would be refused at upload: ")
    # A sync would only publish it again.
    assert Fault("pool/hello.deb", told).is_for_server


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (replace(DEB, name="other"), "has the Package 'other' in its control file, 'hello' in the index"),
        (replace(DEB, version="1:2.0-2"), "has the Version '1:2.0-2' in its control file, '1:2.0-1' in the index"),
        (replace(DEB, architecture="arm64"), "has the Architecture 'arm64' in its control file, 'amd64' in the index"),
    ],
)
def test_another_package_than_the_index_names_is_a_fault(tmp_path: Path, other: Deb, told: str) -> None:
    assert wrong(tmp_path, build_deb(other)) == told
