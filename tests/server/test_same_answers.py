"""Calls drawn at random are answered alike on an SQLite file and on PostgreSQL, whose language sorts otherwise."""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from packrat_server import admin
from packrat_server.serving.housekeeping import clean
from packrat_server.store.database import open_database
from support.postgres import Cluster
from support.world import Answer, World, world

CALLS = 700
SEED = 20
API = "/api/v2/"
FILES = f"{API}Package/PackageFile"
PACKAGES = f"{API}Package/Package"
NAMES = ["a", "A", "_a", "a-b", "a.b", "a+b", "Zed", "zed", "aa", "a_b"]
UPLOADED = ["a", "A", "a-b", "Zed", "zed"]
TEXTS = ["", "é", "\x00", "a'b", "%", "_", "\\", "*", "?a", "a*", "A*", "\U0010ffff", "x" * 51, "x" * 2000]
TAGS = ["dev", "dev", "stage", "prod", "nonesuch"]
SIDES = [*TAGS, "json-dev", "json-stage", "apt-dev"]
WHO = ["root"] * 8 + ["manager", "uploader", "promoter", "reader", "lab", "prod", None]
ACTIONS = ["fail", "unfail", "deprocate", "undeprocate"]
Draw = random.Random
Ask = Callable[[World, Engine], Answer | None]
_CHANGING = rb'20\d\d-\d\d-\d\d[T ][0-9:.]+|djfh://[0-9a-f]+|\d+-[0-9a-f]{8}"|"id": \d+'
"""Moments, handles of uploads, positions, and numbers of events, of which PostgreSQL leaves some out."""
_HEADERS = ("Count", "Position", "Total", "Object-Id", "Multi-Object")


def uploading(draw: Draw) -> Ask:
    name = f"{draw.choice(UPLOADED)}_{draw.choice(['1.0', '1.0-rc1', '2', '1.10', 'latest'])}.txt"
    content, who = draw.choice([b"1", b"2"]), draw.choice(["root", *WHO])
    new = {"justification": draw.choice(TEXTS), "provenance": "", "type": None}
    new["distroversion"] = draw.choice(["resource", "resource", "resource", "bookworm", "nonesuch"])

    def ask(server: World, _engine: Engine) -> Answer:
        handle = server.upload(name, content, who="root").value["uri"]
        return server.call("CALL", f"{FILES}(create)", {**new, "file": handle}, who)

    return ask


def promoting(draw: Draw) -> Ask:
    action = draw.choice(["tag", "tag", "tag", "untag"])
    given = {"tag": f"{API}Attrib/Tag:{draw.choice(TAGS)}:", "change_control_id": draw.choice([None, *TEXTS])}
    return calling(draw, "CALL", f"{FILES}:{number(draw)}:({action})", given)


def marking(draw: Draw) -> Ask:
    return calling(draw, "CALL", f"{FILES}:{number(draw)}:({draw.choice(ACTIONS)})", {"reason": draw.choice(TEXTS)})


def deleting(draw: Draw) -> Ask:
    return calling(draw, "DELETE", f"{FILES}:{number(draw)}:{number(draw)}:", None)


def keeping(draw: Draw) -> Ask:
    counts = {"failed_count": draw.randrange(3), "deprocated_count": draw.randrange(3)}
    if draw.randrange(2):
        return calling(draw, "CREATE", PACKAGES, {"name": draw.choice(NAMES + TEXTS), **counts})
    return calling(draw, "UPDATE", f"{PACKAGES}:{draw.choice(UPLOADED)}:", counts)


def filtering(draw: Draw) -> Ask:
    repo = {"repo": f"{API}Repo/Repo:{draw.choice(SIDES)}:", "package_list": draw.choice([None, [], ["a", "Zed"]])}
    name, given = draw.choice(
        [
            ("package", {"package": f"{PACKAGES}:{draw.choice(NAMES)}:"}),
            ("file_name", {"file_name": draw.choice(TEXTS)}),
            ("repo", repo),
            ("kept", {**repo, "deprocated": bool(draw.randrange(2))}),
        ]
    )
    return calling(draw, "LIST", FILES, given, Filter=name, Count=str(draw.choice([0, 3, 100])))


def reading(draw: Draw) -> Ask:
    model = draw.choice(["Package/Package", "Repo/Repo", "Repo/Mirror", "Attrib/Tag", "Package/PackageFile"])
    if draw.randrange(2):
        return calling(draw, "LIST", API + model, None, Count=str(draw.choice([0, 3, 1000])))
    return calling(draw, "GET", f"{FILES}:{number(draw)}:{number(draw)}:", None)


def looking(draw: Draw) -> Ask:
    name, limit = draw.choice(NAMES + TEXTS), draw.choice([1, 2, 1000])
    action, given = draw.choice(
        [
            ("find", {"name": name, "limit": limit}),
            ("find", {"tag": draw.choice(TAGS), "limit": limit}),
            ("findPackages", {"name": name, "limit": limit}),
            ("compare", {"first": draw.choice(SIDES), "second": draw.choice(SIDES)}),
            ("history", {"package": name}),
        ]
    )
    return calling(draw, "CALL", f"{FILES}({action})", given)


def setting_up(draw: Draw) -> Ask:
    distros = tuple(draw.sample(["resource", "bookworm", "pypi"], 2))
    repo = admin.NewRepo("json-dev", "json", "dev", distros, "", "json-dev", bool(draw.randrange(2)))
    cleans = draw.randrange(2)

    def ask(server: World, engine: Engine) -> None:
        clean(engine, server.data) if cleans else admin.save_repo(engine, repo)

    return ask


def calling(draw: Draw, verb: str, target: str, given: Any, **headers: str) -> Ask:
    who = draw.choice(WHO)
    return lambda server, _engine: server.call(verb, target, given, who, **headers)


def number(draw: Draw) -> int:
    return draw.choice([draw.randrange(1, 19), draw.randrange(19, 50)])


OPERATIONS = [uploading, uploading, promoting, promoting, marking, deleting, keeping, filtering, reading, looking]


def told(answer: Answer | None) -> tuple[int, bytes, Mapping[str, str | None]] | None:
    if answer is None:
        return None
    headers = {name: answer.headers.get(name) for name in _HEADERS}
    return answer.status, re.sub(_CHANGING, b"", answer.data), headers


def test_both_databases_answer_the_same_calls_alike(tmp_path: Path, postgresql: Cluster) -> None:
    draw = random.Random(SEED)
    with (
        world(tmp_path / "sqlite") as first,
        world(tmp_path / "postgresql", postgresql.new_database()) as second,
    ):
        servers = [(server, open_database(server.data)) for server in (first, second)]
        for server, _ in servers:
            for name in UPLOADED:
                server.call("CREATE", PACKAGES, {"name": name})
        statuses: Counter[tuple[str, int]] = Counter()
        for _ in range(CALLS):
            operation = draw.choice([*OPERATIONS, setting_up])
            ask = operation(draw)
            answers = [told(ask(*server)) for server in servers]
            assert answers[0] == answers[1]
            if answers[0] is not None:
                statuses[operation.__name__, answers[0][0]] += 1
        for _, engine in servers:
            engine.dispose()
    # Calls of each kind came to something.
    assert {name for name, status in statuses if status in (200, 201)} == {made.__name__ for made in OPERATIONS}
