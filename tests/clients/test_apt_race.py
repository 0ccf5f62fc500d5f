"""Clients that update all the time while the agent publishes never see a half-made repository."""

import threading
import time
import urllib.request
from pathlib import Path

from packrat_demo.build_deb import Deb
from packrat_demo.client_run import ClientRun
from packrat_demo.private_apt import PrivateApt
from support.stage import DEADLINE_S, Stage, daemon
from support.web import web_server

PUBLISHES = 20
CLIENTS = 2


def test_clients_succeed_always_during_twenty_publishes(lab: Stage, tmp_path: Path) -> None:
    # No grace: only the generations that are kept protect those who read the one before.
    lab.extra = {"grace_period": "0"}
    lab.write_config()
    lab.server.put_deb(Deb("first", "1", "amd64"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        with web_server(lab.www) as url:
            keyring = tmp_path / "mirror.gpg"
            keyring.write_bytes(urllib.request.urlopen(f"{url}/repo-key.gpg", timeout=DEADLINE_S).read())
            source = f"deb [signed-by={keyring}] {url}/apt-dev bookworm main\n"
            said: list[list[ClientRun]] = [[] for _ in range(CLIENTS)]
            done = threading.Event()

            def update(number: int) -> None:
                apt = PrivateApt(tmp_path / f"apt-{number}", source)
                while not done.is_set() or not said[number]:
                    said[number].append(apt.run("update"))

            clients = [threading.Thread(target=update, args=(number,)) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            counts: list[list[int]] = []
            for number in range(PUBLISHES):
                counts.append([len(client_said) for client_said in said])
                # However slow a client is, no more publications come during one of its updates than are kept.
                until = time.monotonic() + DEADLINE_S
                while number >= 2 and not all(
                    len(client_said) > count for client_said, count in zip(said, counts[-3], strict=True)
                ):
                    assert time.monotonic() < until, "an update does not end"
                    threading.Event().wait(0.02)
                lab.server.put_deb(Deb(f"package-{number}", "1", "amd64"))
                agent.until_logged("published repo=apt-dev", number + 2)
            done.set()
            for client in clients:
                client.join(DEADLINE_S)
            last = PrivateApt(tmp_path / "apt-last", source)
            assert last.run("update").exit_code == 0
            names = last.run("pkgnames", program="apt-cache").output.split()
    assert len(names) == PUBLISHES + 1
    for client_said in said:
        assert len(client_said) > 3
        for run in client_said:
            assert (run.exit_code, "W:" in run.output) == (0, False), run.output
