"""docs/takeover.md, followed from top to bottom where the original agent kept a mirror as root."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from support.doc_walk import page_walk
from support.fresh_root import FreshRoot
from support.keys import Key
from support.ports import held_port
from support.takeover_stage import TakeoverStage, takeover_stage
from support.walk_root import walk_root

_WWW, _STATE, _GNUPG = "/var/www/repo", "/var/lib/packratAgent", "/root/.gnupg"
_README_STEP_2 = """\
useradd --system --user-group --home-dir /var/lib/packratAgent --shell /usr/sbin/nologin packrat
install -d -o packrat -g packrat -m 0700 /var/lib/packratAgent/gnupg
cp packaging/packrat-agent.service /etc/systemd/system/
gpg --batch --export-secret-keys | runuser -u packrat -- gpg --homedir /var/lib/packratAgent/gnupg --batch --import 2>&1
"""

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root of a process"),
]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[tuple[TakeoverStage, FreshRoot]]:
    """What the original agent left behind, in a root where its server is in reach."""
    directory = tmp_path_factory.mktemp("docs-takeover")
    (directory / "left").mkdir()
    with takeover_stage(directory / "left", key) as stage, walk_root(directory / "root", offline=False) as root:
        config = stage.lab.config.read_text().replace(str(stage.lab.www), _WWW)
        config = config.replace(str(stage.state_db.parent), _STATE).replace(str(key.home), f"{_STATE}/gnupg")
        root.path("/etc/packrat").mkdir()
        root.path("/etc/packrat/mirror.conf").write_text(config)
        for source, target in ((stage.lab.www, _WWW), (stage.state_db.parent, _STATE), (key.home, _GNUPG)):
            root.path(target).mkdir(exist_ok=True, parents=True)
            subprocess.run(["cp", "-a", f"{source}/.", root.path(target)], check=True)
        yield stage, root


@pytest.fixture
def port() -> Iterator[int]:
    with held_port() as held:
        yield held


def test_the_page_of_the_takeover(left: tuple[TakeoverStage, FreshRoot], port: int) -> None:
    stage, root = left
    before = len(stage.downloads())
    with page_walk(root, "takeover.md") as walk:
        walk.type(_README_STEP_2)
        walk.run("chown root:packrat")
        assert "root_dir: /var/www/repo" in walk.type("packrat-agent config")
        assert "= " in walk.run("runuser -u packrat -- packrat-agent sync --dry-run")
        walk.run("runuser -u packrat -- packrat-agent sync --adopt")
    assert len(stage.downloads()) == before
    assert "apt-dev" in root.run("packrat-agent status").stdout
    # A client of the original's, which goes on as it is.
    url = f"127.0.0.1:{port}"
    root.run(f"packrat-agent serve --listen {url} > /var/log/serve.log 2>&1 < /dev/null &")
    root.run(f"curl -fsS --retry 30 --retry-connrefused --retry-delay 1 -o /dev/null http://{url}/repo-key.gpg")
    root.path("/etc/apt/sources.list.d/mirror.list").write_text(
        f"deb [signed-by={_WWW}/repo-key.gpg] http://{url}/apt-dev bookworm main\n"
    )
    root.run("apt-get update; apt-get install --allow-downgrades jq=1.6-2.1+deb12u3")
