"""The metadata of a yum repository is read as it says, and refused where it says less, more or something else."""

import gzip
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from packrat_agent.verify.repodata import (
    Metadata,
    Metalink,
    Package,
    read_metalink,
    read_packages,
    read_repomd,
)

ONE, OTHER = "1" * 64, "2" * 64
LARGEST = 10**18 - 1
DATA = (
    f'<data type="primary"><checksum type="sha256">{ONE}</checksum>'
    f'<open-checksum type="sha256">{OTHER}</open-checksum><location href="repodata/x.xml.gz"/>'
    f"<size>10</size><open-size>{LARGEST}</open-size></data>"
)
PACKAGE = (
    f'<package type="rpm"><name>hello</name><arch>noarch</arch><version epoch="0" ver="1.0" rel="2"/>'
    f'<checksum type="sha256" pkgid="YES">{ONE}</checksum><size package="10" installed="5"/>'
    '<location href="noarch/hello.rpm"/></package>'
)
HELLO = Package(ONE, "noarch/hello.rpm", 10, "hello", "1.0-2", "noarch")
METALINK = (
    f'<metalink><files><file><size>10</size><verification><hash type="sha256">{ONE}</hash></verification>'
    "<resources><url>http://example.com/repomd.xml</url></resources></file></files></metalink>"
)
NOT_NUMBERS = ["", "-1", "+1", "1.0", "0x1", "²", "١", "1" * 19, "1 0"]


def repomd(data: str) -> bytes:
    return f"<repomd><revision>1</revision>{data}</repomd>".encode()


def packages(text: str, kind: str = "primary", *, repomd_says: dict[str, Any] | None = None) -> list[Package]:
    """Read metadata of which repomd.xml says what is right, or something else."""
    data = text.encode()
    right = {"open_sha256": hashlib.sha256(data).hexdigest(), "open_size": len(data)}
    metadata = Metadata("repodata/x.xml.gz", "", 0, **{**right, **(repomd_says or {})})
    return read_packages(kind, gzip.compress(data), metadata)


def primary(inside: str, count: int) -> str:
    return f'<metadata packages="{count}">{inside}</metadata>'


def test_repomd_is_read_as_it_says() -> None:
    listed = Metadata("repodata/x.xml.gz", ONE, 10, OTHER, LARGEST)
    assert read_repomd(repomd(DATA)) == {"primary": listed}
    assert read_repomd(repomd(DATA + DATA.replace("primary", "other"))) == {"primary": listed, "other": listed}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (DATA + DATA, "names 'primary' twice"),
        (DATA.replace("<size>10</size>", ""), "without its checksums, sizes"),
        # What one file lacks is not taken from the file before it.
        (DATA + '<data type="other"></data>', "names 'other' twice, or without"),
        (DATA.replace("<size>10</size>", "<size>10</size><size>10</size>"), "says size of something twice"),
        (DATA.replace('<checksum type="sha256">', '<checksum type="sha">'), "not a SHA-256"),
        (DATA.replace('<open-checksum type="sha256">', "<open-checksum>"), "not a SHA-256"),
        (DATA.replace(ONE, ONE[1:]), "not a SHA-256"),
        (DATA.replace(ONE, "A" * 64), "not a SHA-256"),
        (DATA.replace(OTHER, OTHER + "2"), "not a SHA-256"),
        *((DATA.replace("<size>10", f"<size>{text}"), "a size that is not a number") for text in NOT_NUMBERS),
        *((DATA.replace(str(LARGEST), text), "a size that is not a number") for text in NOT_NUMBERS),
    ],
)
def test_repomd_that_says_something_else_is_refused(data: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_repomd(repomd(data))


def test_packages_come_in_the_order_of_the_file() -> None:
    other = PACKAGE.replace(ONE, OTHER).replace('epoch="0"', 'epoch="3"')
    assert packages(primary(PACKAGE + other, 2)) == [
        HELLO,
        Package(OTHER, "noarch/hello.rpm", 10, "hello", "3:1.0-2", "noarch"),
    ]
    assert packages(primary(PACKAGE.replace('epoch="0" ', ""), 1)) == [HELLO]
    listed = f'<filelists packages="2"><package pkgid="{OTHER}"/><package pkgid="{ONE}"/></filelists>'
    assert packages(listed, "filelists") == [Package(OTHER), Package(ONE)]
    assert packages('<otherdata packages="0"/>', "other") == []


def test_metadata_that_is_not_what_repomd_says_is_refused() -> None:
    text = primary(PACKAGE, 1)
    for says, told in (
        ({"open_sha256": ONE}, "does not unpack to what repomd.xml says"),
        ({"open_size": len(text) - 1}, "unpacks to more than"),
    ):
        with pytest.raises(ValueError, match=told):
            packages(text, repomd_says=says)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (primary(PACKAGE, 2), "has 1 package and says 2"),
        (primary(PACKAGE, 0), "has 1 package and says 0"),
        (primary(PACKAGE, 1).replace(' packages="1"', ""), "has 1 package and says None"),
        (f'<filelists packages="1">{PACKAGE}</filelists>', "has 0 packages and says None"),
        (primary(PACKAGE.replace('type="rpm"', 'type="srpm"'), 1), "names a package without"),
        (primary(PACKAGE.replace("<location ", '<location xml:base="http://x/" '), 1), "on another site"),
        (primary(PACKAGE.replace("<name>", "<name>hello</name><name>"), 1), "says name of something twice"),
        (primary(PACKAGE.replace(ONE, "1"), 1), "not a SHA-256"),
        *(
            (primary(PACKAGE.replace('package="10"', f'package="{text}"'), 1), "a size that is not a number")
            for text in NOT_NUMBERS
        ),
        # What one package lacks is not taken from the package before it.
        *(
            (primary(PACKAGE + PACKAGE.replace(f"<{name}", "<x").replace(f"</{name}>", "</x>"), 2), "package without")
            for name in ("name", "arch", "version", "checksum", "size", "location")
        ),
    ],
)
def test_packages_that_are_listed_otherwise_are_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        packages(text)


def test_a_metalink_is_of_one_file() -> None:
    assert read_metalink(METALINK.encode()) == Metalink(ONE, 10, ("http://example.com/repomd.xml",))
    url = "<url>http://example.com/repomd.xml</url>"
    assert len(read_metalink(METALINK.replace(url, url + url).encode()).urls) == 2


def _file_twice(text: str) -> str:
    inside = text.partition("<files>")[2].partition("</files>")[0]
    return text.replace(inside, inside + inside)


@pytest.mark.parametrize(
    "change",
    [
        _file_twice,
        lambda text: text.replace("<size>10</size>", ""),
        lambda text: text.replace("<size>10</size>", "<size>10</size><size>10</size>"),
        lambda text: text.replace("verification>", "x>"),
        lambda text: text.replace("resources>", "x>"),
        lambda text: text.replace('"sha256"', '"md5"'),
    ],
    ids=["two files", "no size", "two sizes", "no hash", "no address", "another hash"],
)
def test_a_metalink_of_something_else_is_refused(change: Callable[[str], str]) -> None:
    text = change(METALINK)
    assert text != METALINK
    with pytest.raises(ValueError):
        read_metalink(text.encode())
