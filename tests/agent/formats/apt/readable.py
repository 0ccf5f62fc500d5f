"""Writes a small repository so that a person can read it and Git can show what changed.

`PYTHONPATH=tests python -m agent.formats.apt.readable` writes it again, after a change that is meant.
"""

import re
import tempfile
from pathlib import Path

from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import PendingFile
from packrat_demo.build_deb import Deb
from support.apt_packages import APT, entries, files_of, request, with_plain
from support.rendered import signed_path

EXPECTED = Path(__file__).parent / "expected"

# Without compression: the bytes of these packages are the same with every version of zlib.
_HELLO = Deb(
    "hello",
    "2.10-3",
    "amd64",
    fields=(
        ("Depends", "libc6 (>= 2.34)"),
        ("Multi-Arch", "foreign"),
        ("Filename", "of/the/packager"),
        ("SHA256", "0"),
        ("Description", "greets\n A friendly greeting.\n .\n  Twice."),
    ),
    files=(("/usr/bin/hello", b"#!/bin/sh\necho hello\n"),),
    compression="none",
)
PACKAGES = (
    (_HELLO, "bookworm"),
    (Deb("hello", "2.10-3", "arm64", compression="none"), "bookworm"),
    (Deb("hello-doc", "1:2.10~rc1-3+b1", "all", compression="none"), "bookworm"),
    (Deb("g++-12", "12.2", "amd64", compression="none"), "bookworm"),
    (Deb("hello", "2.9-1", "amd64", compression="none"), "bookworm"),
    (Deb("hello-doc", "1:2.10~rc1-3+b1", "all", compression="none"), "noble"),
)


def wanted_files(directory: Path) -> list[Entry]:
    """The packages of the small repository."""
    return entries(directory, *PACKAGES)


def readable(directory: Path) -> dict[str, str]:
    """Path → text of every index, decompressed, and the order of publication."""
    tree = APT.render(request(wanted_files(directory)))
    texts = {
        path: _masked(data.decode())
        for path, data in with_plain(files_of(tree)).items()
        if "/by-hash/" not in path and not path.endswith((".gz", ".xz"))
    }
    order = []
    for publication in tree:
        for file in publication.pointers:
            kind = (
                f"  ({file.form} signature of {signed_path(publication, file)})"
                if isinstance(file, PendingFile)
                else ""
            )
            copied = file.by_hash_dir if isinstance(file, PendingFile) else None
            order.append(f"{file.path}{kind}{f', copied to {copied}' if copied else ''}\n")
    return {**texts, "pointers": "".join(order)}


def _masked(text: str) -> str:
    return re.sub(r"(?m)^ [0-9a-f]{64} +[0-9]+ (.*\.[gx]z)$", r" (hash and size) \1", text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in readable(Path(scratch)).items():
            (EXPECTED / name).parent.mkdir(parents=True, exist_ok=True)
            (EXPECTED / name).write_text(text)
