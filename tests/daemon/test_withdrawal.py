"""An urgent withdrawal reaches clients in seconds, whatever the removal guard holds back at that moment."""

import time
from collections.abc import Callable
from pathlib import Path

from packrat_demo.build_deb import Deb
from packrat_demo.private_apt import PrivateApt
from packrat_server import admin
from packrat_server.store.database import open_database
from support.stage import Stage, daemon
from support.web import web_server

_LIMIT_S = 60.0
"""It takes a second on an idle machine."""


def put(lab: Stage, count: int) -> list[str]:
    return [uri for number in range(count) for uri in lab.server.put_deb(Deb(f"package-{number}", "1", "all"))]


def offered(apt: PrivateApt) -> set[str]:
    assert apt.run("update").exit_code == 0
    return set(apt.run("pkgnames", program="apt-cache").output.split())


def until(holds: Callable[[], bool]) -> float:
    """Wait until it holds; gives the seconds that it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < _LIMIT_S
    return time.monotonic() - began


def test_a_failed_package_is_gone_for_apt_at_once_and_so_are_named_ones(lab: Stage, tmp_path: Path) -> None:
    uris = put(lab, 11)
    lab.agent("sync")
    with daemon(lab) as agent, web_server(lab.www) as url:
        agent.until_logged("checked")
        apt = PrivateApt(tmp_path / "apt", f"deb [trusted=yes] {url}/apt-dev bookworm main\n")
        assert len(offered(apt)) == 11
        lab.server.act(uris[0], "fail")
        took_s = until(lambda: "package-0" not in offered(apt))
        print(f"from fail to gone for apt: {took_s:.1f} s")
        # Everything that is left, one after the other: named by the server, so nothing of it is held.
        for uri in uris[1:]:
            lab.server.untag(uri, "dev")
        until(lambda: not offered(apt))
        assert "held" not in agent.log


def test_small_steps_count_together_but_not_what_failed(lab: Stage) -> None:
    uris = put(lab, 13)
    lab.agent("sync")
    for uri in (*uris[:6], uris[12]):
        lab.server.untag(uri, "dev")
    lab.agent("sync")
    assert lab.packages().count("Package: package-") == 6
    # The agent starts again each time, and nobody follows `changes`: these go without a word, but for what failed.
    for uri in uris[6:10]:
        lab.server.untag(uri, "dev")
    lab.server.act(uris[10], "fail")
    lab.server.put_deb(Deb("package-new", "1", "all"))
    assert "4 files less for apt-dev, where 6 files are live" in lab.agent("sync", expect=12).stdout
    assert lab.packages().count("Package: package-") == 6
    assert "Package: package-10\n" not in lab.packages()
    assert "Package: package-new\n" in lab.packages()
    for command in ("status", "check"):
        assert "4 files less" in lab.agent(command, expect=None).stdout
    lab.agent("sync", "--accept-removals")
    assert lab.packages().count("Package: package-") == 2


def test_a_withdrawn_file_that_is_wanted_again_has_its_place_again(lab: Stage) -> None:
    (uri,) = lab.server.put_deb(Deb("again", "1", "all"))
    lab.server.put_deb(Deb("other", "1", "all"))
    lab.agent("sync")
    with daemon(lab) as agent:
        agent.until_logged("checked")
        lab.server.untag(uri, "dev")
        until(lambda: "Package: again\n" not in lab.packages())
        lab.server.tag(uri, "dev")
        until(lambda: "Package: again\n" in lab.packages())
        # The next sync of the package reads what the former one noted of it.
        lab.server.put_deb(Deb("again", "2", "all"))
        until(lambda: "again_2_all.deb" in lab.packages())
        assert "again_1_all.deb" in lab.packages()
        # What is read on disk may be the first part of a publication: it ends before the agent does.
        assert agent.stop() == 0
    lab.agent("verify")


def name_versions(lab: Stage, *versions: str) -> None:
    engine = open_database(lab.server.data)
    admin.save_repo(engine, admin.NewRepo("apt-dev", "apt", "dev", versions, show_only_latest=False))
    engine.dispose()


def test_a_suite_stays_for_apt_while_the_files_that_go_with_it_are_held(lab: Stage, tmp_path: Path) -> None:
    lab.extra = {"grace_period": "0", "keep_generations": "1"}
    lab.write_config()
    put(lab, 12)
    lab.agent("sync")
    name_versions(lab, "trixie")
    lab.server.put_deb(Deb("newer", "1", "all"), ("trixie",))
    for _ in range(2):
        told = lab.agent("sync", expect=12)
        assert "apt-dev: held: the server suddenly offers" in told.stdout
        assert "refused repo=" not in told.stderr
    with web_server(lab.www) as url:
        before, after = (
            PrivateApt(tmp_path / suite, f"deb [trusted=yes] {url}/apt-dev {suite} main\n")
            for suite in ("bookworm", "trixie")
        )
        assert len(offered(before)) == 12
        assert offered(after) == {"newer"}
    # A server that names the version again has changed its mind.
    name_versions(lab, "bookworm", "trixie")
    lab.agent("sync")
    name_versions(lab, "trixie")
    lab.agent("sync", expect=12)
    lab.agent("sync", "--accept-removals")
    lab.agent("sync")
    assert not (lab.repo / "dists/bookworm/InRelease").exists()
    assert {path.name for path in lab.repo.rglob("*.deb")} == {Deb("newer", "1", "all").file_name}
