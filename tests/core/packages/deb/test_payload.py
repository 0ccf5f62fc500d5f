"""What dpkg can't unpack or install is refused at upload, and nothing else; the real dpkg is the judge."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from packrat_core.errors import Refused
from packrat_core.packages.deb.payload import check_payload
from support.apt_packages import ar

CONTROL = b"Package: x\nVersion: 1\nArchitecture: all\nMaintainer: M <m@example.com>\nDescription: x\n"
FILE, DIRECTORY, LINK, HARD_LINK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
Member = tuple[str, bytes, bytes]
"""Name, kind, and content or target."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="dpkg installs as root only")


def archive(*members: Member, pax: dict[str, str] | None = None) -> bytes:
    """A tar archive in GNU's format; in that of pax, where `pax` has records for each member."""
    output = io.BytesIO()
    form = tarfile.GNU_FORMAT if pax is None else tarfile.PAX_FORMAT
    with tarfile.open(fileobj=output, mode="w", format=form) as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            is_link = kind in (LINK, HARD_LINK)
            info.type, info.size, info.pax_headers = kind, 0 if is_link else len(content), pax or {}
            info.mode = 0o755 if kind == DIRECTORY else 0o644
            info.linkname = content.decode() if is_link else ""
            tar.addfile(info, io.BytesIO(content))
    return output.getvalue()


def deb(data: bytes, *beside: Member) -> bytes:
    """A package with a data archive, and with files beside its control file."""
    control = archive(("./", DIRECTORY, b""), ("./control", FILE, CONTROL), *beside)
    return ar(("debian-binary", b"2.0\n"), ("control.tar", control), ("data.tar", data))


def holding(name: str, kind: bytes = FILE, content: bytes = b"x") -> bytes:
    return deb(archive((name, kind, b"" if kind == DIRECTORY else content)))


def having(*members: Member) -> bytes:
    return deb(archive(("./", DIRECTORY, b""), *members))


def beside(name: str, content: bytes, kind: bytes = FILE) -> bytes:
    return deb(archive(("./", DIRECTORY, b"")), (name, kind, content))


def with_conffiles(lines: bytes, *members: Member) -> bytes:
    return deb(archive(("./", DIRECTORY, b""), *members), ("./conffiles", FILE, lines))


def is_installed(package: bytes, root: Path) -> bool:
    """Whether dpkg installs it in a root of its own."""
    for name in ("info", "updates", "triggers"):
        (root / "var/lib/dpkg" / name).mkdir(parents=True)
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).touch()
    path = root / "x.deb"
    path.write_bytes(package)
    command = ["dpkg", f"--root={root}", "--log=/dev/null", "--install", str(path)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def refusal(package: bytes) -> str | None:
    try:
        check_payload(io.BytesIO(package))
    except Refused as error:
        return str(error)
    return None


TAKEN = {
    "nothing": deb(archive()),
    "a file": holding("./x"),
    "the longest name of a file": holding("./" + "a" * 246),
    "the longest name in bytes": holding("./" + "é" * 123),
    "names that are not UTF-8": holding("./" + "\udce9" * 200),
    "a long path": deb(archive(*(("./" + "/".join(["a" * 200] * depth), DIRECTORY, b"") for depth in range(1, 6)))),
    "the longest name beside control": beside("./" + "a" * 100, b"x"),
    "a longer name beside control, with a dot": beside("./" + "a" * 250 + ".orig", b"x"),
    "a hard link": having(("./a", FILE, b"x"), ("./b", HARD_LINK, b"./a"), ("./c", HARD_LINK, b"b")),
    "a hard link to a pipe": having(("./a", tarfile.FIFOTYPE, b""), ("./b", HARD_LINK, b"./a")),
    "a symbolic link to nothing": having(("./a", LINK, b"../../b")),
    "a directory before a file of its name": having(("./a/", DIRECTORY, b""), ("./a", FILE, b"x")),
    "a hard link to a file in the place of a directory": having(
        ("./a/", DIRECTORY, b""), ("./a", FILE, b"x"), ("./b", HARD_LINK, b"./a")
    ),
    "a symbolic link before a directory of its name": having(("./a", LINK, b"x"), ("./a/", DIRECTORY, b"")),
    "a pipe before a directory of its name": having(
        ("./a", tarfile.FIFOTYPE, b""), ("./a/", DIRECTORY, b""), ("./a/b", FILE, b"x")
    ),
    "a symbolic link without a target behind a directory of its name": having(
        ("./a/", DIRECTORY, b""), ("./a", LINK, b"")
    ),
    "a file twice": having(("./a", FILE, b"x"), ("./b", HARD_LINK, b"./a"), ("./a", FILE, b"y")),
    "a hard link to the former of two files of a name": having(
        ("./a", FILE, b"x"), ("./b", HARD_LINK, b"./a"), ("./a", FILE, b"y")
    ),
    "a symbolic link as a conffile": with_conffiles(b"/l\n", ("./f", FILE, b"x"), ("./l", LINK, b"f")),
    "a symbolic link to nothing as a conffile": with_conffiles(b"/l\n", ("./l", LINK, b"x/f")),
    "symbolic links in a circle as conffiles": with_conffiles(b"/l\n/m\n", ("./l", LINK, b"m"), ("./m", LINK, b"l")),
    "a symbolic link as a conffile, out of a directory by a link": with_conffiles(
        b"/l\n",
        *(("./a/", DIRECTORY, b""), ("./a/x/", DIRECTORY, b""), ("./a/k", LINK, b"../b/.s")),
        *(("./b/", DIRECTORY, b""), ("./b/.s/", DIRECTORY, b""), ("./b/x", FILE, b"x"), ("./l", LINK, b"a/k/../x")),
    ),
    "a symbolic link as a conffile, out of a file": with_conffiles(
        b"/l\n", ("./f", FILE, b"x"), ("./l", LINK, b"f/..")
    ),
    "a device as a conffile": with_conffiles(b"/d\n", ("./d", tarfile.CHRTYPE, b"")),
    "a conffile with a slash behind the name of a directory": with_conffiles(b"/d/\n", ("./d/", DIRECTORY, b"")),
    "an earlier list of conffiles with a directory": deb(
        archive(("./", DIRECTORY, b""), ("./d/", DIRECTORY, b"")),
        ("./conffiles", FILE, b"/d\n"),
        ("./conffiles", FILE, b"/x\n"),
    ),
    "conffiles": beside("./conffiles", b"/x\n\n \n/y z\nremove-on-upgrade /z\n"),
    "no conffiles": beside("./conffiles", b""),
    "the longest path of a conffile": beside("./conffiles", b"/" + b"a" * 100 + b"/" + b"b" * 140 + b"\n"),
    "the longest line of conffiles": beside("./conffiles", b"/" + b"a/" * 497 + b"a\n"),
    "triggers": beside("./triggers", b"# x\n\n\tinterest-noawait\t/x \n \nactivate-await y\nactivate z\n"),
    "any name of a trigger that it activates": beside("./triggers", b"activate -x/_~/\n"),
    "names of triggers that it waits for": beside("./triggers", b"interest /x_/~y\ninterest 0-X.y+\n"),
    "the longest line of triggers": beside("./triggers", b"#" + b"x" * 253 + b"\n"),
    "a script": beside("./shlibs", b"x 1 x"),
}
_NO_NAME = "its triggers has no name of a trigger that dpkg takes in the line "
REFUSED = {
    "pax": (deb(archive(("./x", FILE, b""), pax={"mtime": "1.5"})), "its data archive has pax headers, which dpkg"),
    "a long name of pax": (deb(archive(("./" + "a" * 150, FILE, b""), pax={})), "its data archive has pax headers"),
    "a contiguous file": (holding("./x", tarfile.CONTTYPE), "its data archive has a contiguous file"),
    "a longer name of a file": (holding("./" + "a" * 247), "has a name of 247 bytes, 'aaa"),
    "a longer name of a directory": (holding("./" + "a" * 247, DIRECTORY), "has a name of 247 bytes"),
    "a longer name of a link": (holding("./" + "a" * 247, LINK), "has a name of 247 bytes"),
    "a longer name in bytes": (holding("./" + "é" * 124), "has a name of 248 bytes"),
    "a newline in a name": (holding("./a\nb"), r"has a newline in the name 'a\nb'"),
    "a hard link to a symbolic link": (
        having(("./t", FILE, b"x"), ("./a", LINK, b"t"), ("./b", HARD_LINK, b"./a")),
        "its data archive: its hard link 'b' is one to a symbolic link, which dpkg can't create",
    ),
    "a hard link to a symbolic link, by its plain name": (
        having(("./a", LINK, b"t"), ("./b", HARD_LINK, b"/a")),
        "its hard link 'b' is one to a symbolic link",
    ),
    "a hard link to a directory": (
        having(("./a/", DIRECTORY, b""), ("./b", HARD_LINK, b"./a")),
        "its hard link 'b' is one to a directory",
    ),
    "a hard link to the root": (having(("./b", HARD_LINK, b"./")), "its hard link 'b' is one to a directory"),
    "a hard link before its file": (
        having(("./b", HARD_LINK, b"./a"), ("./a", FILE, b"x")),
        "its hard link 'b' stands before the file that it is one to",
    ),
    "a hard link to itself": (having(("./b", FILE, b"x"), ("./b", HARD_LINK, b"b")), "link 'b' is one to itself"),
    **{
        f"a directory as a conffile, {line!r}": (
            with_conffiles(line, ("./d/", DIRECTORY, b"")),
            "its data archive: its conffile 'd' is a directory",
        )
        for line in (b"/x\n/d\n", b"//d \n")
    },
    "a later list of conffiles with a directory": (
        deb(
            archive(("./", DIRECTORY, b""), ("./d/", DIRECTORY, b"")),
            ("./conffiles", FILE, b"/x\n"),
            ("./conffiles", FILE, b"/d\n"),
        ),
        "its conffile 'd' is a directory",
    ),
    **{
        f"a symbolic link to {target!r} as a conffile": (
            with_conffiles(
                b"/a/l\n",
                *(("./a/", DIRECTORY, b""), ("./a/d/", DIRECTORY, b""), ("./a/l", LINK, target)),
                ("./a/m", LINK, b"d"),
            ),
            "its data archive: its conffile 'a/l' leads to a directory",
        )
        for target in (b"d", b"d/", b"../a/./d", b".", b"/", b"../..", b"m")
    },
    "a hard link to nothing": (having(("./b", HARD_LINK, b"")), "its hard link 'b' is one to a directory"),
    "a symbolic link without a target": (having(("./a", LINK, b"")), "its symbolic link 'a' has no target"),
    "a directory behind a file of its name": (
        having(("./a", FILE, b"x"), ("./a/", DIRECTORY, b"")),
        "its directory 'a' comes behind a file of that name",
    ),
    "a file below a file": (having(("./a", FILE, b"x"), ("./a/b", FILE, b"x")), "its member 'a/b' stands below a file"),
    "a file far below a hard link": (
        having(("./a", FILE, b"x"), ("./d", HARD_LINK, b"a"), ("./d/e/f", FILE, b"x")),
        "its member 'd/e/f' stands below a file of the archive",
    ),
    "a directory below a pipe": (
        having(("./a", tarfile.FIFOTYPE, b""), ("./a/b/", DIRECTORY, b"")),
        "its member 'a/b' stands below a file of the archive",
    ),
    "a directory behind a pipe and a file of its name": (
        having(("./a", tarfile.FIFOTYPE, b""), ("./a", FILE, b"x"), ("./a/", DIRECTORY, b"")),
        "its directory 'a' comes behind a file of that name",
    ),
    "a directory behind a file and a pipe of its name": (
        having(("./a", FILE, b"x"), ("./a", tarfile.FIFOTYPE, b""), ("./a/", DIRECTORY, b"")),
        "its directory 'a' comes behind a file of that name",
    ),
    "a directory beside control": (beside("./d", b"", DIRECTORY), "its control archive has a directory 'd'"),
    "a longer name beside control": (beside("./" + "a" * 101, b"x"), "its control archive has a name of 101 bytes"),
    "a longer name than any, with a dot": (beside("./" + "a" * 254 + ".x", b"x"), "has a name of 256 bytes"),
    "conffiles without an end": (beside("./conffiles", b"/x\n/y"), "its conffiles does not end with a newline"),
    "a conffile that is too long": (beside("./conffiles", b"/" + b"a/" * 498 + b"\n"), "has a line of 997 bytes"),
    "an unknown directive in triggers": (
        beside("./triggers", b"interest /x\nlisten /y\n"),
        "its triggers has a directive that dpkg does not know, in the line 'listen /y'",
    ),
    "a trigger without a name": (beside("./triggers", b"interest \n"), _NO_NAME + "'interest '"),
    "triggers from Windows": (beside("./triggers", b"interest /x\r\n"), _NO_NAME + "'interest /x\\r'"),
    "a trigger with a blank": (beside("./triggers", b"activate x y\n"), _NO_NAME + "'activate x y'"),
    "a trigger not in ASCII": (beside("./triggers", b"activate \xe4\n"), _NO_NAME),
    "a path of a trigger with two slashes": (beside("./triggers", b"interest /x//y\n"), _NO_NAME),
    "a directory as a trigger": (beside("./triggers", b"interest-await /x/\n"), _NO_NAME),
    "a trigger that is no package": (beside("./triggers", b"interest x_y\n"), _NO_NAME),
    "a NUL byte in triggers": (beside("./triggers", b"activate x\0\n"), "its triggers has a NUL byte"),
    "a line of triggers that is too long": (
        beside("./triggers", b"#" + b"x" * 254 + b"\n"),
        "its triggers has a line of 255 bytes",
    ),
    "triggers without an end": (beside("./triggers", b"interest /x"), "its triggers does not end with a newline"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_debs_that_dpkg_installs_are_accepted(name: str, tmp_path: Path) -> None:
    assert refusal(TAKEN[name]) is None
    assert is_installed(TAKEN[name], tmp_path)


@pytest.mark.parametrize(
    "package",
    [
        having(("./opt/x/y", FILE, b"x")),
        having(("./b", HARD_LINK, b"./a")),
        having(("./lib", LINK, b"usr/lib"), ("./lib/x", FILE, b"x")),
    ],
)
def test_debs_that_dpkg_installs_where_other_packages_are_there_are_accepted(package: bytes, tmp_path: Path) -> None:
    assert refusal(package) is None
    for name in ("opt/x", "usr/lib"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "a").touch()
    assert is_installed(package, tmp_path)


@pytest.mark.parametrize("lines", [b"etc/x\n", b" /x\n", b"/x\nobsolete /x\n"])
def test_debs_that_only_later_releases_of_dpkg_refuse_are_accepted(lines: bytes) -> None:
    """Before dpkg 1.20.6, as in Ubuntu 20.04, each line of conffiles was a path, also without a slash before it."""
    assert refusal(beside("./conffiles", lines)) is None


@pytest.mark.parametrize("name", REFUSED)
def test_debs_that_dpkg_cannot_install_are_refused(name: str, tmp_path: Path) -> None:
    package, told = REFUSED[name]
    reason = refusal(package)
    assert reason is not None
    assert told in reason
    assert reason.isprintable()
    assert not is_installed(package, tmp_path)


def test_a_pipe_as_a_conffile_is_refused() -> None:
    """dpkg waits for ever for somebody to write to it."""
    reason = refusal(with_conffiles(b"/p\n", ("./p", tarfile.FIFOTYPE, b"")))
    assert reason is not None
    assert "its conffile 'p' is a pipe" in reason
    assert refusal(with_conffiles(b"/p\n", ("./p", tarfile.FIFOTYPE, b""), ("./p", FILE, b"x"))) is None


def test_a_conffile_that_leads_to_a_directory_or_a_pipe_elsewhere_is_refused() -> None:
    # `dpkg --root` follows an absolute link on the machine that it runs on, and waits for ever at a pipe.
    link, pipe = ("./l", LINK, b"/a/d"), ("./a/d", tarfile.FIFOTYPE, b"")
    for where, what in ((("./a/d/", DIRECTORY, b""), "a directory"), (pipe, "a pipe")):
        assert f"its conffile 'l' leads to {what}" in (refusal(with_conffiles(b"/l\n", where, link)) or "")
