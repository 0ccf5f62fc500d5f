"""A mirror with a repository of every type, and what `verify` finds in its tree."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packrat_agent.verify.tree import verify_tree
from packrat_demo.build_deb import Deb
from packrat_demo.build_image import Image, build_classic, build_oci, write_image
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.build_wheel import Python, write_sdist, write_wheel
from packrat_server import admin
from packrat_server.store.database import open_database
from support.keys import Key
from support.stage import Stage, packrat_server

REPOS = {
    "apt": ("bookworm",),
    "docker": ("docker",),
    "json": ("resource",),
    "pypi": ("pypi",),
    "yum": ("rhel9", "sles15"),
}


def fill(lab: Stage) -> None:
    """Upload a few packages of every type."""
    for name, architecture in (("first", "amd64"), ("second", "all")):
        lab.server.put_deb(Deb(name, "1", architecture, files=((f"/usr/share/{name}", os.urandom(5000)),)))
    files = lab.directory / "files"
    files.mkdir()
    for name in ("one", "two", "three"):
        rpm = write_rpm(
            Rpm(name, "1", "x86_64" if name != "two" else "noarch", files=((f"/{name}", b"1" * 999),)), files
        )
        lab.server.put(rpm, REPOS["yum"])
    for python in (Python("Some.Project", "1.0"), Python("Some.Project", "2.0"), Python("other", "1")):
        lab.server.put(write_wheel(python, files), ("pypi",))
    lab.server.put(write_sdist(Python("other", "2"), files), ("pypi",))
    layers = ((("base", b"base\n"),), (("web", b"web\n"),))
    web, tool = Image("web", "1.2", layers), [Image("tool", "3", layers, arch) for arch in ("amd64", "arm64")]
    for image, data in (
        (web, build_classic(web)),
        (Image("web", "1.1"), build_oci(Image("web", "1.1"))),
        (tool[0], build_oci(*tool)),
    ):
        lab.server.put(write_image(image, files, data), ("docker",))
    for name in ("a", "b", "c"):
        (files / f"{name}_1.conf").write_text(f"{name} = 1\n")
        lab.server.put(files / f"{name}_1.conf", ("resource",))


@contextmanager
def mirror_of_all(directory: Path, key: Key | None) -> Iterator[Stage]:
    """A mirror with an empty repository of every type."""
    with packrat_server(directory) as server:
        engine = open_database(server.data)
        for kind, versions in REPOS.items():
            admin.save_repo(engine, admin.NewRepo(f"{kind}-dev", kind, "dev", versions, show_only_latest=False))
        psk = admin.save_mirror(engine, "lab", [f"{kind}-dev" for kind in REPOS], "Lab")
        engine.dispose()
        assert psk is not None
        lab = Stage(directory, server, psk, key, {"public_url": "http://repo.example.com:5000/repo"})
        lab.write_config()
        yield lab


def faults_of(tree: Path) -> dict[str, list[str]]:
    """Path → what is wrong with it."""
    found: dict[str, list[str]] = {}
    for fault in verify_tree(tree, None, lambda _files, _bytes: None).faults:
        found.setdefault(fault.path, []).append(fault.what)
    return found
