"""An upload is read once to tell what it is, however often it is asked about."""

import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, create_engine, literal, select

from packrat_demo.build_deb import Deb, build_deb
from packrat_server.inspect_file import Unrecognized
from packrat_server.promotion.uploads import inspect_upload
from packrat_server.store.blobs import blob_path

SHA256 = "ab" * 32
opened: list[str] = []


def _note_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        opened.append(str(arguments[0]))


sys.addaudithook(_note_open)


def upload(name: str) -> Row[Any]:
    with create_engine("sqlite://").connect() as connection:
        columns: list[Any] = [literal(SHA256).label("sha256"), literal(name).label("file_name")]
        return connection.execute(select(*columns)).one()


def write(data: Path, content: bytes) -> Path:
    path = blob_path(data, SHA256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_an_upload_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path, build_deb(Deb("hello", "1.0", "amd64")))
    found = upload("hello_1.0_amd64.deb")
    first = inspect_upload(tmp_path, found, None)
    opened.clear()
    assert inspect_upload(tmp_path, found, None) == first
    assert str(path) not in opened


def test_other_bytes_and_another_name_are_read_again(tmp_path: Path) -> None:
    write(tmp_path, build_deb(Deb("hello", "1.0", "amd64")))
    found = upload("hello_1.0_amd64.deb")
    assert inspect_upload(tmp_path, found, None).version == "1.0"
    with pytest.raises(Unrecognized, match="under a name that ends in"):
        inspect_upload(tmp_path, upload("hello_1.0_amd64.rpm"), None)
    write(tmp_path, build_deb(Deb("hello", "1.0", "amd64"))[:-20])
    for _ in range(2):
        with pytest.raises(Unrecognized, match="unusable"):
            inspect_upload(tmp_path, found, None)
    blob_path(tmp_path, SHA256).unlink()
    with pytest.raises(FileNotFoundError):
        inspect_upload(tmp_path, found, None)
