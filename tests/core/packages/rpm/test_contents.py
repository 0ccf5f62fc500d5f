"""What rpm can't unpack as the header says is refused, and nothing else; the real rpm is the judge."""

import bz2
import hashlib
import lzma
import os
import stat
from pathlib import Path

import pytest
from backports import zstd

from packrat_core.errors import Damaged, Refused
from packrat_core.packages.rpm.contents import check_contents
from packrat_core.packages.rpm.file_list import check_files
from packrat_core.packages.rpm.header import walk
from packrat_core.packages.rpm.rules import check_header
from support.rpm_payloads import GHOST, Listed, Package, Packed, gzipped, install, pack, write_package

DIRECTORY, LINK = stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
A, B = Listed("/opt/a", b"aaaaa"), Listed("/opt/b", b"bbbbbb")
PACKED_A, PACKED_B = Packed("./opt/a", b"aaaaa"), Packed("./opt/b", b"bbbbbb")
D, PACKED_D = Listed("/opt/d", mode=DIRECTORY), Packed("./opt/d", mode=DIRECTORY)
G = Listed("/opt/g", flags=GHOST)
ARCHIVE = pack([PACKED_A])
SYMLINK = Listed("/opt/s", target="target", mode=LINK)
LINKS = [Listed(f"/opt/{name}", b"data", inode=7) for name in "abc"]
OTHER = Listed("/opt/z", b"z")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="rpm installs as root only")


def of(listed: list[Listed], packed: list[Packed], **tags: tuple[int, object] | None) -> Package:
    """A package whose other tags are given as t1095=(4, (1,)), or None to leave one out."""
    return Package(listed, gzipped(pack(packed)), tags={int(name[1:]): value for name, value in tags.items()})  # type: ignore[misc] # values fit their types


def packed_by(compression: str | None, payload: bytes) -> Package:
    return Package([A], payload, compression)


def symlink(data: bytes) -> Package:
    return of([SYMLINK], [Packed("./opt/s", data, mode=LINK)])


def with_digest(digest: str, algorithm: int | None, data: bytes = b"aaaaa") -> Package:
    value = None if algorithm is None else (4, (algorithm,))
    return of([Listed("/opt/a", data, digest=digest)], [Packed("./opt/a", data)], t5011=value)


def with_capabilities(text: str) -> Package:
    return of([A], [PACKED_A], t5010=(8, (text,)))


def xz_with(dictionary: int) -> bytes:
    return lzma.compress(ARCHIVE, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": dictionary << 20}])


def named(name: str, data: bytes = b"aaaaa", **more: object) -> Package:
    return of([A], [Packed(name, data, **more)])  # type: ignore[arg-type] # as Packed has them


FIRST, SECOND = pack([PACKED_A])[:50], pack([PACKED_A])[50:]
SHA256 = hashlib.sha256(b"aaaaa").hexdigest()
MD5 = hashlib.md5(b"aaaaa", usedforsecurity=False).hexdigest()
TAKEN = {
    "files in another order": of([A, B], [PACKED_B, PACKED_A]),
    "a list in another order": of([B, A], [PACKED_A, PACKED_B]),
    "an absolute name": named("/opt/a"),
    "a relative name": named("opt/a"),
    "a dot and two slashes": named(".//opt/a"),
    "checksums": named("./opt/a", magic=b"070702"),
    "a wrong size in the archive": named("./opt/a", size=0),
    "padding with other bytes": named("./opt/a", b"aaaaax"),
    "numbers of files": of([A, B], [Packed(1, b"bbbbbb"), Packed(0, b"aaaaa")]),
    "a number as the end": Package([A], gzipped(pack([Packed(0, b"aaaaa"), Packed(-1)], end=False))),
    "sizes of 64 bits": of([A], [Packed(0, b"aaaaa")], t1028=None, t5008=(5, (5,))),
    "two kinds of sizes": of([A], [PACKED_A], t5008=(5, (7,))),
    "bytes behind the archive": Package([A], gzipped(ARCHIVE + b"garbage" * 99)),
    "bytes behind gzip": packed_by("gzip", gzipped(ARCHIVE) + b"garbage"),
    "gzip in two members": packed_by("gzip", gzipped(FIRST) + gzipped(SECOND)),
    "no gzip under its name": packed_by("gzip", ARCHIVE),
    "gzip without a name": packed_by(None, gzipped(ARCHIVE)),
    "an unknown name of what is not packed": packed_by("identity", ARCHIVE),
    "xz": packed_by("xz", lzma.compress(ARCHIVE)),
    "xz called lzma": packed_by("lzma", lzma.compress(ARCHIVE)),
    "lzma called xz": packed_by("xz", lzma.compress(ARCHIVE, format=lzma.FORMAT_ALONE)),
    "xz with 96 MiB": packed_by("xz", xz_with(96)),
    "bzip2": packed_by("bzip2", bz2.compress(ARCHIVE)),
    "zstd in two frames": packed_by("zstd", zstd.compress(FIRST) + zstd.compress(SECOND)),
    "zstd with a skippable frame": packed_by("zstd", b"\x50\x2a\x4d\x18\4\0\0\0abcd" + zstd.compress(ARCHIVE)),
    "zeros behind zstd": packed_by("zstd", zstd.compress(ARCHIVE) + bytes(9)),
    "links": of(LINKS, [Packed("./opt/b"), Packed("./opt/a"), Packed("./opt/c", b"data")]),
    "the first link twice": of(LINKS[:2], [Packed("./opt/a"), Packed("./opt/a"), Packed("./opt/b", b"data")]),
    "a directory amid links": of([*LINKS[:2], D], [Packed("./opt/a"), PACKED_D, Packed("./opt/b", b"data")]),
    "links by number": of(LINKS[:2], [Packed(0), Packed(1, b"data")]),
    "inodes without filesystems": of(LINKS[:1], [Packed("./opt/a", b"data")], t1095=None),
    "too few filesystems": of(LINKS[:2], [Packed(f"./opt/{n}", b"data") for n in "ab"], t1095=(4, (1,))),
    "inodes of zero": of(LINKS[:2], [Packed(f"./opt/{n}", b"data") for n in "ab"], t1096=(4, (0, 0))),
    "another target in the archive": symlink(b"tergat"),
    "a longer target in the archive": symlink(b"target.."),
    "a symbolic link by number": of([SYMLINK], [Packed(0, b"target")]),
    "a symbolic link of no size": of(
        [Listed("/opt/s", target="target", mode=LINK, size=0)], [Packed("./opt/s", mode=LINK)]
    ),
    "a ghost": of([A, G], [PACKED_A]),
    "a ghost in the archive": of([A, G], [Packed("./opt/g", b"ghost"), PACKED_A]),
    "ghosts alone": of([G], []),
    "a ghost of a symbolic link, and no targets": of(
        [A, Listed("/opt/g", mode=LINK, flags=GHOST)], [PACKED_A], t1036=None
    ),
    "no files and any payload": Package([], b"garbage"),
    "a directory of a size": of([Listed("/opt/d", mode=DIRECTORY, size=4096)], [PACKED_D]),
    "a directory twice": of([D], [PACKED_D, PACKED_D]),
    "a file called as a directory is": of([D], [Packed("./opt/d")]),
    "a digest in capitals": with_digest(SHA256.upper(), 8),
    "a digest with other letters for zeros": with_digest(SHA256.replace("0", "x"), 8),
    "MD5": with_digest(MD5, 1),
    "MD5 without a word": with_digest(MD5, None),
    "MD5 under an unknown number": with_digest(MD5, 99),
    "SHA-512": with_digest(hashlib.sha512(b"aaaaa").hexdigest(), 10),
    "no digests of a directory": of([D], [PACKED_D], t1035=None),
    "names before a relocation": of(
        [A], [Packed("./usr/o", b"aaaaa")], **{"t1119": (4, (0,)), "t1120": (8, ("o",)), "t1121": (8, ("/usr/",))}
    ),
    **{
        f"capabilities {text!r}": with_capabilities(text)
        for text in (
            "",
            "=ep",
            "cap_net_raw,CAP_CHOWN=eip",
            "= cap_chown+ep-i\n",
            "all=p",
            "cap_chown=",
            "0x3f,077,7+p",
        )
    },
}
MIDST = "amid the links to another file, and rpm makes it one of them"
REFUSED = {
    "a file less": (of([A, B], [PACKED_A]), "lacks '/opt/b', which its header lists"),
    "a file more": (of([A], [PACKED_A, PACKED_B]), "has './opt/b', which its header does not list"),
    "a file twice": (of([A], [PACKED_A, PACKED_A]), "has '/opt/a' twice"),
    "a file listed twice": (of([A, A], [PACKED_A, PACKED_A]), "its header lists '/opt/a' twice"),
    "a directory listed twice": (of([D, D], [PACKED_D]), "its header lists '/opt/d' twice"),
    "a file and a directory": (of([A, Listed("/opt/a", mode=DIRECTORY)], [Packed(0, b"aaaaa"), Packed(1)]), "twice"),
    "a ghost and its file": (of([A, Listed("/opt/a", flags=GHOST)], [PACKED_A]), "lists '/opt/a' twice"),
    "other bytes": (named("./opt/a", b"aaaab"), "has other bytes of '/opt/a' than its header says, whose sha256 is "),
    "fewer bytes": (named("./opt/a", b"aaaa"), "has other bytes of '/opt/a'"),
    "more bytes": (named("./opt/a", b"aaaaa" + b"x" * 8), "where a member should begin"),
    "a larger size": (of([Listed("/opt/a", b"aaaaa", size=1 << 20)], [PACKED_A]), "ends before its last member"),
    "another name": (named("././opt/a"), "has '././opt/a', which its header does not list"),
    "a number too high": (of([A], [Packed(0, b"aaaaa"), Packed(1)]), "has file 1, which its header does not list"),
    "another archive": (named("./opt/a", magic=b"070707"), "has b'070707' where a member should begin"),
    "no number": (named("./opt/a" + "\0" * 4090), "with a name of 4098 bytes; rpm reads up to 4096"),
    "no end": (Package([A], gzipped(pack([PACKED_A], end=False))), "ends before its last member"),
    "gzip under a name that rpm does not know": (packed_by("gz", gzipped(ARCHIVE)), "by its header in 'gz', has b'"),
    "gzip under no name": (packed_by("", gzipped(ARCHIVE)), "by its header in '', has b'\\x1f\\x8b"),
    "gzip that is cut off": (packed_by("gzip", gzipped(ARCHIVE)[:-12]), "is damaged: the gzip stream has no end"),
    "gzip called xz": (packed_by("xz", gzipped(ARCHIVE)), "by its header in 'xz', is not valid lzma"),
    "gzip called zstd": (packed_by("zstd", gzipped(ARCHIVE)), "by its header in 'zstd', is not valid zstd"),
    "what is not packed called bzip2": (packed_by("bzip2", ARCHIVE), "by its header in 'bzip2', is not valid bzip2"),
    "xz in two streams": (packed_by("xz", lzma.compress(FIRST) + lzma.compress(SECOND)), "after the end of the xz"),
    "xz with 128 MiB": (packed_by("xz", xz_with(128)), "is not valid xz: Memory usage limit exceeded"),
    "bzip2 in two streams": (
        packed_by("bzip2", bz2.compress(FIRST) + bz2.compress(SECOND)),
        "the end of the bzip2 str",
    ),
    "no payload": (Package([A], b""), "ends before its last member"),
    "a ghost and no payload": (Package([G], b""), "ends before its last member"),
    "a ghost by number": (of([A, G], [PACKED_A, Packed(1)]), "'/opt/g', which its header calls a gh"),
    "content with the first link": (of(LINKS[:2], [Packed("./opt/a", b"data"), Packed("./opt/b")]), "a member should"),
    "the last link first": (
        of(LINKS[:2], [Packed("./opt/b", b"data"), Packed("./opt/a")]),
        "'/opt/b' before other",
    ),
    "another link twice": (
        of(LINKS, [*map(Packed, ("./opt/a", "./opt/b", "./opt/b")), Packed("./opt/c", b"data")]),
        "has '/opt/b' twice",
    ),
    "a link less": (of(LINKS[:2], [Packed("./opt/b", b"data")]), "has '/opt/b' before other links"),
    "links without their content": (of(LINKS[:2], [Packed("./opt/a")]), "lacks '/opt/b', which its header lists"),
    "another file amid links": (
        of([*LINKS[:2], OTHER], [Packed("./opt/a"), Packed("./opt/z", b"z"), Packed("./opt/b", b"data")]),
        MIDST,
    ),
    "links amid links": (
        of(
            [
                Listed("/opt/a", b"x", inode=7),
                Listed("/opt/b", b"y", inode=8),
                Listed("/opt/c", b"x", inode=7),
                Listed("/opt/d", b"y", inode=8),
            ],
            [Packed("./opt/a"), Packed("./opt/b"), Packed("./opt/c", b"x"), Packed("./opt/d", b"y")],
        ),
        f"has '/opt/b' {MIDST}",
    ),
    "links of two sizes": (
        of([Listed("/opt/a", b"dat", inode=7), LINKS[1]], [Packed("./opt/a"), Packed("./opt/b", b"data")]),
        "'/opt/a' and '/opt/b' are links to one file, of which it has two sizes or digests",
    ),
    "a target that is cut off": (symlink(b"targe"), "has 5 bytes of the symbolic link '/opt/s', its header"),
    "a target that is too long": (symlink(b"target..."), "where a member should begin"),
    "no target": (
        of([Listed("/opt/s", mode=LINK)], [Packed("./opt/s")]),
        "a symbolic link, 's', with a target of 0",
    ),
    "a long target": (
        of([Listed("/opt/s", target="a" * 4096, mode=LINK)], [Packed("./opt/s", b"a" * 4096)]),
        "a target of 4096 bytes; rpm creates those with 1 to",
    ),
    "no targets": (
        of([SYMLINK], [Packed("./opt/s", b"target")], t1036=None),
        "links, and 0 values of tag 1036",
    ),
    "a symbolic link twice": (of([SYMLINK], [Packed("./opt/s", b"target")] * 2), "has '/opt/s' twice"),
    "a directory with content": (of([D], [Packed("./opt/d", b"data")]), "has b'data07' where a member should begin"),
    "a file below a file": (
        of([A, Listed("/opt/a/d/x", b"x")], [PACKED_A, Packed("./opt/a/d/x", b"x")]),
        "it has files below '/opt/a', which is no directory",
    ),
    "a file below a symbolic link": (
        of([D, SYMLINK, Listed("/opt/s/x", b"x")], [PACKED_D, Packed("./opt/s", b"target"), Packed("./opt/s/x", b"x")]),
        "it has files below '/opt/s', which is no directory",
    ),
    "a digest with control characters": (with_digest("\x1b[2J" * 16, 8), f"whose sha256 is {'0020' * 16}"),
    "no digest": (with_digest("", 8), "has other bytes of '/opt/a'"),
    "a short digest": (with_digest("ab", 8), "has '/opt/a', and its header has no digests in sha256"),
    "a short digest of a directory": (
        of([A, Listed("/opt/d", mode=DIRECTORY, digest="ab")], [PACKED_A, PACKED_D]),
        "has no digests in sha256",
    ),
    "no digests": (of([A], [PACKED_A], t1035=None), "has no digests in sha256, which rpm expects of files"),
    "SHA-256 without a word": (with_digest(SHA256, None), "has no digests in md5"),
    "SHA-256 under an unknown number": (with_digest(SHA256, 3), "no digests in md5"),
    "MD5 called SHA-256": (with_digest(MD5, 8), "has no digests in sha256"),
    "an empty file without a digest": (with_digest("", 8, b""), "has other bytes of '/opt/a'"),
    "names before a relocation that fit nothing": (
        of([A], [PACKED_A], t1119=(4, (1,)), t1120=(8, ("a",)), t1121=(8, ("/opt/",))),
        "a file stands in a directory that is not listed",
    ),
    "fewer names before a relocation": (
        of([A, B], [PACKED_A], t1119=(4, (0,)), t1120=(8, ("a",)), t1121=(8, ("/opt/",))),
        "2 files, and 1 name in the payload",
    ),
    **{
        f"capabilities {text!r}": (with_capabilities(text), "which rpm can't set")
        for text in (
            "garbage",
            "cap_chown",
            "cap_chown=x",
            "cap_chown=e=p",
            "cap_chown+",
            "+ep",
            "cap_chown,=e",
            "=e+p",
            "cap_net_row=ep",
            "cap_chown=E",
            "64=p",
        )
    },
}


def refusal(path: Path) -> str:
    """Check a package as the server does at an upload."""
    try:
        with path.open("rb") as file:
            header = walk(file).header
            check_header(header)
            check_files(header)
            check_contents(file)
    except Refused as error:
        return str(error)
    return ""


@needs_root
@pytest.mark.parametrize("name", TAKEN)
def test_what_rpm_installs_is_taken(name: str, tmp_path: Path) -> None:
    path = write_package(tmp_path / "x.rpm", TAKEN[name])
    assert not refusal(path)
    assert not install(path, tmp_path / "root")


@needs_root
@pytest.mark.parametrize("name", REFUSED)
def test_what_rpm_fails_at_is_refused(name: str, tmp_path: Path) -> None:
    package, told = REFUSED[name]
    path = write_package(tmp_path / "x.rpm", package)
    reason = refusal(path)
    assert told in reason
    assert reason.isprintable()
    assert install(path, tmp_path / "root")


def test_an_empty_file_of_an_early_package_may_have_zeros_for_a_digest(tmp_path: Path) -> None:
    """rpm installs it, and only `rpm --verify` finds the digest wrong."""
    for digest in ("", "0" * 32):
        assert not refusal(write_package(tmp_path / "x.rpm", with_digest(digest, 1, b"")))


def test_a_path_twice_is_refused_even_where_rpm_takes_one_of_the_two(tmp_path: Path) -> None:
    """That depends on their order and on what they are, and no program writes such a header."""
    for listed in ([A, G, G], [G, Listed("/opt/g", b"aaaaa")]):
        path = write_package(tmp_path / "x.rpm", of(listed, [PACKED_A]))
        assert "its header lists '/opt/g' twice" in refusal(path)


def test_a_damaged_payload_is_called_damaged(tmp_path: Path) -> None:
    """Not by what was found as it was unpacked."""
    path = write_package(tmp_path / "x.rpm", of([A], [PACKED_A]))
    content = path.read_bytes()
    path.write_bytes(content[:-20] + b"x" + content[-19:])
    with path.open("rb") as file, pytest.raises(Damaged, match="its payload is damaged: the SHA256"):
        check_contents(file)


def test_an_archive_of_far_more_members_than_files_is_refused(tmp_path: Path) -> None:
    """A few bytes unpack to millions of members; rpm takes a directory as often as it is there."""
    for repeats, told in ((1001, ""), (1002, "it has more than 1001 members")):
        path = write_package(tmp_path / "x.rpm", of([D], [PACKED_D] * repeats))
        assert told.removeprefix("it ") in refusal(path)
        assert bool(refusal(path)) == bool(told)


def test_few_bytes_that_name_long_directories_are_refused(tmp_path: Path) -> None:
    """As it looks for files below files, it makes all directories of a path."""
    files = [Listed(f"/{number}{'/a' * 2000}/x", b"x") for number in range(60)]
    path = write_package(tmp_path / "x.rpm", Package(files, b""))
    assert "its directories are nested too deeply" in refusal(path)


def test_a_few_bytes_that_name_very_many_names_before_a_relocation_are_refused(tmp_path: Path) -> None:
    """A package of 3 MB could fill all memory."""
    files = [Listed(f"/opt/{number}", b"x") for number in range(1000)]
    former = {1119: (4, (0,) * 1000), 1120: (8, ("o",) * 1000), 1121: (8, ("/" + "d" * 40_000,))}
    path = write_package(tmp_path / "x.rpm", Package(files, b"", tags=former))  # type: ignore[arg-type] # values fit
    assert "the paths of its files have more than 33554432 bytes" in refusal(path)
