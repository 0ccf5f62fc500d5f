"""A server with the repositories, mirrors, users and package files that the recorded exchanges speak of."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from packrat_server import admin
from packrat_server.accounts.rights import Role
from packrat_server.api.serve_options import ServeOptions
from packrat_server.serving.running import running
from packrat_server.store.blobs import blob_path
from packrat_server.store.database import open_database, writing
from packrat_server.store.tables import package_file_tags, package_files, packages
from support.secrets_once import one_salt
from support.server_data import new_server_data

_SETS = {"apt": ("trusty", "xenial", "bionic", "bookworm"), "yum": ("rhel8", "sles12"), "docker": ("docker",)}
_SETS |= {"pypi": ("pypi",), "json": ("resource",)}
SECRETS = {"lab": "lab_psk", "prod": "prod_psk", "manager": "manager_pw", "root": "root_pw", "mcp": "mcp_pw"}
SECRETS |= {"reader": "reader_pw", "uploader": "uploader_pw", "promoter": "promoter_pw"}
_CONTENT = b'{"a": 1}\n'
_SHA256 = "fdcd0c1f2ee5ed65bc7e2a8e3f3b6dd6e0c0be6c1dbc5a4f4c5ab9eb1d2c1d00"


@dataclass(slots=True)
class World:
    """A running server and sessions of its callers."""

    data: Path
    url: str
    tokens: dict[str, str] = field(default_factory=dict)
    process_id: int = 0
    """That of a server in a process of its own."""
    source: str = ""
    """The address to ask from."""

    def ask(self, verb: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> "Answer":
        """Send one request as it is."""
        host = self.url.removeprefix("http://")
        source = (self.source, 0) if self.source else None
        connection = http.client.HTTPConnection(host, timeout=60, source_address=source)
        try:
            connection.putrequest(verb, target, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() != "content-length":
                    connection.putheader(name, value)
            if body or verb not in ("GET", "DESCRIBE", "OPTIONS", "HEAD"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            data = response.read()
            return Answer(response.status, dict(response.getheaders()), data)
        finally:
            connection.close()

    def call(self, verb: str, target: str, arguments: Any = None, who: str | None = "root", **headers: str) -> "Answer":
        """Send one CInP request in somebody's session."""
        sent = {"CInP-Version": "0.9", **self.auth(who), **{k.replace("_", "-"): v for k, v in headers.items()}}
        body = b""
        if arguments is not None:
            sent["Content-Type"] = "application/json;charset=utf-8"
            body = json.dumps(arguments).encode()
        return self.ask(verb, target, sent, body)

    def auth(self, who: str | None) -> dict[str, str]:
        """The headers of a session, opened when it is first needed."""
        if who is None:
            return {}
        if who not in self.tokens:
            answer = self.call(
                "CALL", "/api/v2/Auth/User(login)", {"username": who, "password": SECRETS[who]}, who=None
            )
            self.tokens[who] = answer.value
        return {"Auth-Id": who, "Auth-Token": self.tokens[who]}

    def upload(self, name: str | None, content: bytes, who: str = "manager") -> "Answer":
        """POST a file."""
        disposition = {"Content-Disposition": f'inline; filename="{name}"'} if name is not None else {}
        headers = {"Content-Type": "application/octet-stream", **disposition, **self.auth(who)}
        return self.ask("POST", "/api/upload", headers, content)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names as they were sent."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def value(self) -> Any:
        """The JSON value; '' for an empty body."""
        return json.loads(self.data) if self.data else ""


@contextmanager
def world(directory: Path, database: str | None = None, options: ServeOptions | None = None) -> Iterator[World]:
    """Run such a server; database: the URL of an empty PostgreSQL database, or none for an SQLite file."""
    data = directory / "server"
    new_server_data(data, database)
    engine = open_database(data)
    for kind, names in _SETS.items():
        for tag in ("dev", "stage", "prod"):
            admin.save_repo(
                engine, admin.NewRepo(f"{kind}-{tag}", kind, tag, names, f"{kind.upper()} - {tag}", "", False)
            )
    with one_salt():
        _make_accounts(engine)
    with writing(engine) as connection:
        _fill(connection, data)
    engine.dispose()
    with running(data, options=options) as url:
        yield World(data, url)


def _make_accounts(engine: Engine) -> None:
    for mirror, tags in (("lab", ("dev", "stage")), ("prod", ("prod",))):
        repos = [f"{kind}-{tag}" for kind in _SETS for tag in tags]
        admin.save_mirror(engine, mirror, repos, mirror.capitalize(), SECRETS[mirror])
    for user, role in (("manager", Role.MANAGER), ("root", Role.ADMIN), ("mcp", Role.MANAGER)):
        admin.save_user(engine, user, role, SECRETS[user])
    for user, rights in (("reader", []), ("uploader", []), ("promoter", ["tag_stage"])):
        admin.set_user(engine, user, Role(user), SECRETS[user], rights)


def _fill(connection: Any, data: Path) -> None:
    now = datetime.now(UTC)
    names = ["hello", "myall", "myall", "aslib", "tiny", *(f"p{n}" for n in range(6, 46))]
    for name in dict.fromkeys([*names, "polldeb"]):
        connection.execute(
            insert(packages).values(name=name, deprocated_count=10, failed_count=5, created=now, updated=now)
        )
    suites = {**dict.fromkeys(range(1, 8), "bookworm"), **dict.fromkeys(range(8, 11), "rhel8")}
    suites |= {**dict.fromkeys(range(11, 14), "pypi"), **dict.fromkeys(range(14, 19), "docker")}
    kinds = {"bookworm": "deb", "rhel8": "rpm", "pypi": "python", "docker": "docker", "resource": "resource"}
    path = blob_path(data, _SHA256)
    path.parent.mkdir(parents=True)
    path.write_bytes(_CONTENT)
    for number, name in enumerate(names, 1):
        suite = suites.get(number, "resource")
        named = {1: "hello_2.10-3_amd64.deb", 19: "conf_1.0.json"}.get(number, f"{name}_{number}.x")
        made = connection.execute(
            insert(package_files).values(
                package=name,
                distro_version=suite,
                version=f"1.0-{number}",
                type=kinds[suite],
                arch="all",
                justification="test",
                provenance="test",
                file_name=named,
                sha256=_SHA256,
                size=len(_CONTENT),
                created_by="manager",
                created=now,
                updated=now,
            )
        )
        assert made.inserted_primary_key == (number,)
        # 7 has no tag; 1 and 5 went all the way.
        for tag in () if number == 7 else ("dev", "stage", "prod") if number in (1, 5) else ("dev",):
            connection.execute(insert(package_file_tags).values(package_file=number, tag=tag, by="manager", at=now))
