"""A mirror of a public server, read without a login: the server takes only short requests then."""

import asyncio
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.model.changes import NOTHING_CONFIRMED
from packrat_agent.sync.context import Order, Summary
from packrat_agent.sync.full_sync import sync
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.sync.noted_sync import sync_and_note
from packrat_agent.upstream.connection import connected
from packrat_demo.build_deb import Deb
from packrat_server.api.serve_options import ServeOptions
from packrat_server.serving.running import running
from support.mirror_conf import write_mirror_conf
from support.stage import Stage, stage


@pytest.fixture
def public(tmp_path: Path) -> Stage:
    """The data of a server, and an unsigned mirror without a psk."""
    with stage(tmp_path, None) as made:
        made.server.put_deb(Deb("first", "1", "all"))
    return made


def test_many_changed_packages_are_synced_though_the_server_does_not_take_their_names(public: Stage) -> None:
    async def follow() -> None:
        with open_mirror(load(public.config)) as mirror:
            async with connected(mirror.config) as server:
                await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)
                [repo] = mirror.store.repos.all()
                await asyncio.to_thread(public.server.put_deb, Deb("second", "1", "all"))
                changed = ["second", *(f"another-package-with-a-long-name-{number}" for number in range(400))]
                assert server.login.can_name(changed[:40])
                summary = Summary()
                order = Order(changed, changed)
                await sync_and_note(mirror, server, repo, order, summary, lambda what, files, size: None)
                assert summary.errors == {}

    with running(public.server.data, options=ServeOptions(is_public=True)) as public.server.url:
        write_mirror_conf(public.directory, public.server.url)
        asyncio.run(follow())
    assert "Package: second\n" in public.packages()
    assert "Package: first\n" in public.packages()
