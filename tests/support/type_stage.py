"""A mirror of a repository of one type, and what the tests of all types do with it."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packrat_server import admin
from packrat_server.client.uploader import Uploader
from packrat_server.store.blobs import blob_path
from packrat_server.store.database import open_database
from support.keys import Key
from support.kinds import Kind, Offered, from_disk
from support.stage import Stage, stage


@dataclass(slots=True)
class TypeStage:
    """A Stage, and the type of its repository."""

    lab: Stage
    kind: Kind

    def put(self, name: str, version: str, arch: str = "", inside: bytes = b"", tags: Sequence[str] = ("dev",)) -> str:
        """Build, upload and tag a package; gives its URI."""
        file_name, data = self.kind.build(name, version, arch or self.kind.arches[0], inside)
        return self.put_file(file_name, data, self.kind.uploaded_for, tags)

    def put_many(self, packages: Sequence[tuple[str, str]]) -> None:
        """Build, upload and tag packages, (name, version) each, in one session."""
        directory = self.lab.directory / "built"
        directory.mkdir(exist_ok=True)
        paths = []
        for name, version in packages:
            file_name, data = self.kind.build(name, version, self.kind.arches[0], f"{name} {version}".encode())
            paths.append(directory / file_name)
            paths[-1].write_bytes(data)

        async def work(uploader: Uploader) -> None:
            for path in paths:
                for uri in await uploader.upload(path, self.kind.uploaded_for):
                    await uploader.tag(uri, "dev")

        self.lab.server.ask(work)

    def put_file(self, file_name: str, data: bytes, suites: Sequence[str], tags: Sequence[str] = ("dev",)) -> str:
        """Upload and tag a file."""
        directory = self.lab.directory / "built"
        directory.mkdir(exist_ok=True)
        (directory / file_name).write_bytes(data)
        [uri] = self.lab.server.put(directory / file_name, suites, tags)
        return uri

    def offered(self, repo: str = "") -> Offered:
        """What the indexes on disk say."""
        return self.kind.read(from_disk(self.lab.www / repo if repo else self.lab.repo))

    def expected(self, *packages: tuple[str, str]) -> Offered:
        """What the indexes should say of packages of the first architecture."""
        return {(name, version, self.kind.arches[0]) for name, version in packages}

    def packages(self, repo: str = "") -> dict[str, int]:
        """Path in the repository → inode, of what package files became."""
        top = self.lab.www / repo if repo else self.lab.repo
        paths = {str(path.relative_to(top)): path for path in sorted(top.rglob("*")) if path.is_file()}
        return {
            name: path.lstat().st_ino
            for name, path in paths.items()
            if self.kind.packages.match(name) and not name.endswith((".htaccess", ".metadata"))
        }

    def indexes(self) -> dict[str, bytes]:
        """Path → bytes of what stands in the indexes, without dates, signatures and former generations."""
        dated = re.compile(r"(.*/)?(In)?Release(\.gpg)?$|.*repomd\.xml(\.asc)?$|.*\.(asc|gpg|signed)$|.*by-hash/")
        packages = self.packages()
        named = "".join(path.read_text() for path in self.lab.repo.rglob("repomd.xml"))
        named += "".join(path.read_text() for path in self.lab.repo.rglob("_repo_main/packages/index.json"))
        found = {}
        for path in sorted(path for path in self.lab.repo.rglob("*") if path.is_file()):
            name = str(path.relative_to(self.lab.repo))
            is_former = path.parent.name == "repodata" and path.suffix == ".gz" and path.name not in named
            is_former |= path.parent.match("_repo_main/packages") and path.stem not in (*named.split('"'), "index")
            if name not in packages and not dated.match(name) and not is_former:
                found[name] = re.sub(rb'"upload-time": ?"[^"]*"', b"", path.read_bytes())
        return found

    def troubles(self) -> dict[str, str]:
        """File name → reason, of what `packrat-agent status` says was refused."""
        status = json.loads(self.lab.agent("status", "--json").stdout)
        found: list[dict[str, Any]] = status["troubles"]
        assert {trouble["state"] for trouble in found} <= {"refused"}
        return {trouble["file"]: trouble["reason"] for trouble in found}

    def grace(self, seconds: int) -> None:
        """Set the grace periods; no generation of an index stays beyond them."""
        self.lab.extra |= {"grace_period": str(seconds), "keep_generations": "0"}
        self.lab.write_config()

    def lose_state(self) -> None:
        """Remove the state database."""
        self.lab.lose_state()

    def forge(self, uri: str, data: bytes) -> None:
        """Give a package file other bytes than those that the server looked into when it took it."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = blob_path(self.lab.server.data, sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.sql(f"UPDATE package_files SET sha256 = '{sha256}', size = {len(data)} WHERE id = {uri.split(':')[1]}")

    def forget_upload(self, uri: str) -> None:
        """As a server that was put back from a backup: it does not know a package file any more."""
        number = uri.split(":")[1]
        self.sql(
            f"DELETE FROM package_file_tags WHERE package_file = {number}",
            f"DELETE FROM package_files WHERE id = {number}",
        )

    def sql(self, *statements: str) -> None:
        """Change the server's database behind its back."""
        engine = open_database(self.lab.server.data)
        with engine.connect() as connection, connection.begin():
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()


@contextmanager
def type_stage(directory: Path, key: Key, kind: Kind, more_suites: Sequence[str] = ()) -> Iterator[TypeStage]:
    """Set up a signed mirror of a repository of that type; `more_suites`: of other types, which only a server says."""
    with stage(directory, key, kind.suites, kind.name, misfit_suites=sorted({*more_suites} - {*kind.suites})) as lab:
        yield TypeStage(lab, kind)


def add_repo(made: TypeStage, name: str, tag: str) -> None:
    """Give the mirror another repository of the type, of what is tagged so."""
    engine = open_database(made.lab.server.data)
    admin.save_repo(engine, admin.NewRepo(name, made.kind.name, tag, made.kind.suites, show_only_latest=False))
    admin.save_mirror(engine, "lab", [f"{made.kind.name}-dev", name], "Lab", made.lab.psk)
    engine.dispose()
