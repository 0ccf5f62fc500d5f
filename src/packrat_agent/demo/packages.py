"""The packages of the demo: built here, uploaded and promoted through the server's HTTP API.

Takes: a signed-in Uploader, a directory for the .debs.
Gives: how many package files were put in.
Touches: the directory; network.
"""

from collections.abc import Mapping
from pathlib import Path

from packrat_agent.demo.build_deb import Deb, write_deb
from packrat_agent.errors import ServerRefused
from packrat_server.uploader import Uploader

_SCRIPT = b"#!/bin/sh\necho Hello from the packrat mirror\n"
_GUIDE = b"Tag a package on the server and it is here seconds later.\n"


def _hello(version: str, architecture: str) -> Deb:
    return Deb(
        "packrat-hello",
        version,
        architecture,
        (("Depends", "packrat-guide"), ("Description", "greets from the mirror")),
        (("/usr/bin/packrat-hello", _SCRIPT), ("/usr/share/doc/packrat-hello/version", version.encode())),
        "zst" if version == "1.1-1" else "xz",
    )


_GUIDE_DEB = Deb("packrat-guide", "2.0", "all", (), (("/usr/share/doc/packrat-guide/README", _GUIDE),))

DEBS: Mapping[Deb, tuple[str, ...]] = {
    _GUIDE_DEB: ("bookworm", "trixie"),
    _hello("1.0-1", "amd64"): ("bookworm",),
    _hello("1.1-1", "amd64"): ("bookworm",),
    _hello("1.1-1", "arm64"): ("bookworm",),
    Deb("packrat-hello", "1.2-1~trixie", "amd64", (), (("/usr/bin/packrat-hello", _SCRIPT),)): ("trixie",),
}
"""Package → the suites that it goes to."""

NEXT = Deb("packrat-surprise", "1.0", "all", (), (("/usr/share/doc/packrat-surprise/README", b"Here I am.\n"),))
"""What is left for the person to upload."""


async def put_in(uploader: Uploader, directory: Path) -> int:
    """Upload the demo's packages and tag them dev, the guide prod too; those that are in already stay."""
    count = 0
    for deb, suites in DEBS.items():
        path = write_deb(deb, directory)
        if await uploader.find(path.name):
            continue
        for uri in await uploader.upload(path, suites, "to try out a mirror", "built by the demo"):
            await uploader.tag(uri, "dev")
            if deb is _GUIDE_DEB:
                await uploader.tag(uri, "stage")
                await uploader.tag(uri, "prod", "DEMO-1")
            count += 1
    return count


async def put_next_in(uploader: Uploader, directory: Path) -> bool:
    """Upload and tag the one that is left; False where it is in already."""
    try:
        uris = await uploader.upload(directory / NEXT.file_name, ["bookworm"])
    except ServerRefused:
        return False
    for uri in uris:
        await uploader.tag(uri, "dev")
    return True
