"""A server and a mirror with a repository for dev and one for prod, of several types; each tag may have its own key."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packrat_demo.build_deb import Deb
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_server import admin
from packrat_server.store.database import open_database
from support.keys import Key, make_key
from support.mirror_conf import write_mirror_conf
from support.stage import Stage, packrat_server

SUITES = {"apt": ("bookworm",), "yum": ("rhel9",), "json": ("json", "resource", "tar")}
EVERYWHERE = ("dev", "stage", "prod")


@dataclass(slots=True)
class TwoTags:
    """A Stage whose mirror has `apt-dev`, `apt-prod` and so on; `main` and `other` are keys in one keyring."""

    lab: Stage
    main: Key
    other: Key

    def configure(self, sections: str, mirror: str = "") -> None:
        """Write mirror.conf with the main key, further lines of [mirror], and further sections."""
        write_mirror_conf(
            self.lab.directory,
            self.lab.server.url,
            packrat=f"psk: {self.lab.psk}\n",
            mirror=f"gpg_sign_key: {self.main.fingerprint}\ngnupg_home: {self.main.home}\n{mirror}\n{sections}",
        )

    def put_rpm(self, rpm: Rpm, tags: Sequence[str]) -> None:
        """Build, upload and tag a package."""
        directory = self.lab.directory / "rpms"
        directory.mkdir(exist_ok=True)
        self.lab.server.put(write_rpm(rpm, directory), ("rhel9",), tags)

    def put_all(self, version: str, tags: Sequence[str]) -> None:
        """Upload a package of each type and tag it."""
        self.lab.server.put_deb(Deb("hello", f"{version}-1", "all"), tags=tags)
        self.put_rpm(Rpm("hello", version, "noarch"), tags)
        path = self.lab.directory / f"notes_{version}.json"
        path.write_text(json.dumps({"version": version}))
        self.lab.server.put(path, (), tags)

    def faults(self, root: Path, *options: str) -> list[tuple[str, str]]:
        """Let `verify` audit a tree; gives (path, fault) of each."""
        told = self.lab.agent("verify", "--root", str(root), "--json", *options, expect=None).stdout
        return [(fault["path"], fault["what"]) for fault in json.loads(told)["faults"]]


@contextmanager
def two_tags(directory: Path, home: Path, kinds: Sequence[str] = tuple(SUITES)) -> Iterator[TwoTags]:
    """Set up a TwoTags with one key for all.

    Args:
        directory: an empty directory for server, agent and mirror.
        home: an empty GNUPGHOME.
        kinds: the types of its repositories.
    """
    with packrat_server(directory) as server:
        engine = open_database(server.data)
        names = []
        for kind in kinds:
            for tag in ("dev", "prod"):
                names.append(f"{kind}-{tag}")
                admin.save_repo(engine, admin.NewRepo(names[-1], kind, tag, SUITES[kind], show_only_latest=False))
        psk = admin.save_mirror(engine, "lab", names, "Lab")
        engine.dispose()
        assert psk is not None
        # Old rpm knows no Ed25519.
        main, other = (make_key(home, name, "rsa2048") for name in ("Main <m@example.com>", "Other <o@example.com>"))
        made = TwoTags(Stage(directory, server, psk, main), main, other)
        (directory / "state").mkdir()
        made.configure("")
        yield made


def serve_in_place(root: Path, served: str, asked: str) -> None:
    """Let the files of one repository stand in place of those of another, as somebody with the web root can."""
    shutil.rmtree(root / asked)
    # With new dates, as clients ask only for what is newer.
    shutil.copytree(root / served, root / asked, symlinks=True, copy_function=shutil.copyfile)
    for path in (root / asked).rglob(f"{served}.repo"):
        path.rename(path.with_name(f"{asked}.repo"))
