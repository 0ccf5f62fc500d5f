"""docs/server.md, followed from top to bottom in a Debian with the server alone."""

import os
import re
from collections.abc import Iterator

import pytest

from packrat_demo.build_deb import Deb, build_deb
from support.doc_walk import Walk, page_walk
from support.fresh_root import PROJECT, FreshRoot
from support.walk_root import walk_root

_HELLO = Deb("hello", "2.10-3", "amd64")
_SERVER = "packrat-server"
_UNTIL_IT_ANSWERS = "curl -fsS --retry 30 --retry-connrefused --retry-delay 1 http://127.0.0.1:8888/health"
_LAB = """\
[packrat]
host: 127.0.0.1:8888
name: lab
psk: {psk}

[mirror]
root_dir: /root/lab/www
state_db: /root/lab/state/state.db
"""

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root of a process"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshRoot]:
    with walk_root(tmp_path_factory.mktemp("docs-server") / "root") as made:
        made.path(f"{PROJECT}/hello_2.10-3_amd64.deb").write_bytes(build_deb(_HELLO))
        yield made


def test_the_page_of_the_server(root: FreshRoot) -> None:
    with page_walk(root, "server.md") as walk:
        _set_up(walk)
        _look(walk)
        _where(walk)
        _upload(walk)
        _postgresql(walk)
        _back_up(walk)
    root.run("systemctl stop packrat-server")


def _set_up(walk: Walk) -> None:
    password = re.search(r"user admin has the password (\S+)", walk.run("adduser --system"))
    assert password is not None
    walk.environment["PACKRAT_PASSWORD"] = password[1]
    made = walk.run("runuser -u packrat-server -- /opt/packrat-agent/bin/packrat-server repo set apt-dev")
    psk = re.search(r"psk (\S+)", made)
    assert psk is not None, made
    walk.root.path("/root/lab.conf").write_text(_LAB.format(psk=psk[1]))
    walk.type(_UNTIL_IT_ANSWERS)
    walk.session("packrat-server repo set apt-dev --directory", _SERVER)
    assert "(already" not in walk.run("packrat-server upload")
    walk.run("packrat-server tag-type set qa", _SERVER)


def _look(walk: Walk) -> None:
    shown = walk.run("packrat-server repo list", _SERVER)
    assert "debian/dev" in shown
    assert "2.10-3" in shown
    # The page's example is of a server with more repositories.
    walk.type(
        """\
        packrat-server repo set apt-stage --type apt --tag stage --distro bookworm
        packrat-server repo set apt-prod --type apt --tag prod --distro bookworm
        packrat-server mirror set prod --repo apt-prod
        """,
        _SERVER,
    )
    walk.type("packrat-server tag stage hello_2.10-3_amd64.deb")
    walk.session("packrat-server fail hello")
    walk.run("packrat-server user set ci", _SERVER)


def _where(walk: Walk) -> None:
    walk.run("runuser -u packrat-server -- packrat-server export-events")
    walk.type("packrat-agent --config /root/lab.conf sync")
    walk.type("packrat-server promote hello_2.10-3_amd64.deb --to prod --change-control CHG-4711")
    walk.type("packrat-agent --config /root/lab.conf sync")
    walk.session("packrat-server where", _SERVER)


def _upload(walk: Walk) -> None:
    printed = walk.run("packrat-server upload")
    assert "(already uploaded" in printed
    assert '"failed": null' not in walk.type("packrat-server find hello --json", _SERVER)


def _postgresql(walk: Walk) -> None:
    walk.type(
        "systemctl stop packrat-server; mv /var/lib/packrat-server /var/lib/with-sqlite; service postgresql start"
    )
    walk.type("install -d -o packrat-server -g packrat-server -m 0750 /var/lib/packrat-server")
    walk.run("runuser -u postgres -- createuser")
    walk.run("runuser -u packrat-server -- /opt/packrat-agent/bin/packrat-server init --database")
    walk.type("packrat-server repo set in-postgresql --type apt --tag dev --distro bookworm", _SERVER)
    walk.type("mv /var/lib/packrat-server /var/lib/with-postgresql; mv /var/lib/with-sqlite /var/lib/packrat-server")


def _back_up(walk: Walk) -> None:
    walk.run("install -d -m 0700 /backup")
    walk.type("rm -r /var/lib/packrat-server")
    walk.run("systemctl stop packrat-server")
    walk.type(_UNTIL_IT_ANSWERS)
    assert "2.10-3" in walk.type("packrat-server file list", _SERVER)
    listed = walk.type("packrat-server repo list --data /var/lib/with-postgresql", _SERVER)
    assert "in-postgresql" in listed
