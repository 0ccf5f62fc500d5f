"""Who guesses is delayed, by name and address; who knows the secret is not."""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from packrat_core.aio.addresses import name_network
from packrat_core.errors import ConfigError
from packrat_server import admin
from packrat_server.accounts.login_delays import DELAY_LIMIT_S, FORGOTTEN_S, FREE_FAILURES, Attempt, LoginDelays
from packrat_server.accounts.login_queue import LoginQueue, QueueFull
from packrat_server.accounts.sessions import InvalidLogin, check_secret
from packrat_server.api.addresses import TrustedProxies
from packrat_server.store.database import open_database
from support.world import SECRETS, Answer, World, world

LOGIN = "/api/v2/Auth/User(login)"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def guess(delays: LoginDelays, number: int, name: str = "lab", address: str = "10.0.0.1") -> Attempt:
    return delays.attempt(name, address, f"guess {number}", b"stored")


def fail(delays: LoginDelays, times: int) -> None:
    for number in range(times):
        delays.failed(guess(delays, number))


def test_the_delay_grows_and_ends() -> None:
    clock = Clock()
    delays = LoginDelays(clock)
    waits = []
    for number in range(FREE_FAILURES + 12):
        attempt = guess(delays, number)
        waits.append(delays.wait_s(attempt, is_mirror=False))
        clock.now += waits[-1]
        delays.failed(attempt)
    assert waits[: FREE_FAILURES + 1] == [0.0] * (FREE_FAILURES + 1)
    assert waits[FREE_FAILURES + 1 :][:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(waits) == DELAY_LIMIT_S
    clock.now += FORGOTTEN_S + 1
    assert delays.wait_s(guess(delays, 0), is_mirror=False) == 0.0


def test_only_the_name_at_the_address_is_delayed() -> None:
    delays = LoginDelays(Clock())
    fail(delays, FREE_FAILURES + 5)
    assert delays.wait_s(guess(delays, 99), is_mirror=False) > 0
    assert delays.wait_s(guess(delays, 99, address="10.0.0.2"), is_mirror=False) == 0.0
    assert delays.wait_s(guess(delays, 99, name="prod"), is_mirror=False) == 0.0


def test_the_same_wrong_secret_counts_once_until_the_stored_one_changes() -> None:
    delays = LoginDelays(Clock())
    for _ in range(100):
        delays.failed(guess(delays, 1))
    assert delays.is_known_wrong(guess(delays, 1))
    assert delays.wait_s(guess(delays, 2), is_mirror=False) == 0.0
    assert not delays.is_known_wrong(guess(delays, 2))
    assert not delays.is_known_wrong(delays.attempt("lab", "10.0.0.1", "guess 1", b"another"))


def test_a_mirror_that_logged_in_is_not_delayed_at_its_address() -> None:
    delays = LoginDelays(Clock())
    right = delays.attempt("lab", "10.0.0.1", "right", b"stored")
    delays.succeeded(right)
    fail(delays, FREE_FAILURES + 5)
    assert delays.wait_s(right, is_mirror=True) == 0.0
    # A user's password may be guessable, so that a guess must not tell from the delay whether it is right.
    assert delays.wait_s(right, is_mirror=False) > 0
    assert delays.wait_s(guess(delays, 99), is_mirror=True) > 0


def test_many_pairs_take_bounded_memory() -> None:
    delays = LoginDelays(Clock())
    for number in range(20_000):
        attempt = guess(delays, number, name=f"name {number}")
        delays.failed(attempt)
        delays.succeeded(attempt)
        delays.failed(attempt)
    assert sum(delays.is_known_wrong(guess(delays, n, name=f"name {n}")) for n in range(20_000)) == 10_000


def test_many_addresses_take_no_place_of_who_logged_in_before() -> None:
    async def main() -> list[object]:
        queue, may_end = LoginQueue(places=8), threading.Event()

        def ask(name: str, address: str, work: Callable[[], object], *, is_first: bool = False) -> asyncio.Task[object]:
            return asyncio.create_task(queue.run(name, address, work, lambda: None, is_first=is_first))

        working = [ask("busy", "10.0.0.1", may_end.wait) for _ in range(2)]
        early = [ask("stranger", f"10.0.1.{n}", str) for n in range(8)]
        # Behind one address, as those of a site are.
        mirrors = [ask(f"mirror{n}", "10.0.0.2", str, is_first=True) for n in range(4)]
        late = [ask("stranger", f"10.0.2.{n}", str) for n in range(100)]
        await asyncio.wait(late, timeout=0.1)
        may_end.set()
        answers = await asyncio.gather(*mirrors, return_exceptions=True)
        refused = await asyncio.gather(*working, *early, *late, return_exceptions=True)
        queue.close()
        assert any(isinstance(outcome, QueueFull) for outcome in refused)
        return answers

    assert asyncio.run(main()) == [""] * 4


def test_who_logged_in_before_keeps_all_places() -> None:
    async def main() -> None:
        queue, may_end = LoginQueue(places=2), threading.Event()
        # One or two are at work, and two wait.
        mirrors = [
            asyncio.create_task(queue.run(f"mirror{n}", "10.0.0.1", may_end.wait, lambda: None, is_first=True))
            for n in range(4)
        ]
        await asyncio.sleep(0)
        try:
            with pytest.raises(QueueFull):
                await queue.run("stranger", "10.0.1.1", str, lambda: None)
        finally:
            may_end.set()
        answers = await asyncio.gather(*mirrors, return_exceptions=True)
        queue.close()
        assert answers.count(True) >= 3

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


def log_in(server: World, name: str, secret: str, headers: dict[str, str] | None = None) -> Answer:
    return server.call("CALL", LOGIN, {"username": name, "password": secret}, None, **(headers or {}))


def test_a_guesser_of_passwords_has_to_wait_as_long_as_the_answer_says(server: World) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: log_in(server, "root", f"guess {number}"), range(20)))
    # On a slow machine, the first delays are over before the last login comes.
    assert FREE_FAILURES + 1 <= [answer.status for answer in answers].count(400) <= FREE_FAILURES + 4
    delayed = [answer for answer in answers if answer.status == 429]
    assert len(delayed) >= 10
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in delayed)
    assert "too many failed logins; try again in" in delayed[0].value["message"]
    # Other names are not delayed, nor does this tell which names exist.
    assert log_in(server, "lab", SECRETS["lab"]).status == 200
    statuses = [log_in(server, "nobody", f"guess {number}").status for number in range(FREE_FAILURES + 4)]
    assert 429 in statuses[FREE_FAILURES + 1 :] and 429 not in statuses[: FREE_FAILURES + 1]


def test_a_client_does_not_choose_its_address(server: World) -> None:
    statuses = [
        log_in(server, "mcp", f"guess {number}", {"X_Forwarded_For": f"10.0.0.{number}"}).status
        for number in range(FREE_FAILURES + 4)
    ]
    assert 429 in statuses


def test_an_agent_with_an_old_psk_delays_nobody(server: World) -> None:
    assert {log_in(server, "prod", "old").status for _ in range(50)} == {400}
    assert log_in(server, "prod", SECRETS["prod"]).status == 200


def test_unknown_names_take_the_work_of_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with world(tmp_path) as server:
        engine = open_database(server.data)
        admin.remove_user(engine, "mcp")
    work: list[str] = []
    scrypt = hashlib.scrypt

    def counted(*args: Any, **more: Any) -> bytes:
        work.append(f"scrypt {more}".replace(repr(more["salt"]), str(len(more["salt"]))))
        return scrypt(*args, **more)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    event.listen(engine, "before_cursor_execute", lambda *args: work.append(args[2]))
    done = {}
    for name in ("root", "lab", "mcp", "nobody"):
        work.clear()
        with pytest.raises(InvalidLogin):
            check_secret(engine, name, "wrong")
        done[name] = list(work)
    engine.dispose()
    assert any(line.startswith("scrypt") for line in done["nobody"])
    assert done["root"] == done["lab"] == done["mcp"] == done["nobody"]


@pytest.mark.parametrize(
    ("trusted", "host", "forwarded", "found"),
    [
        ("", "10.0.0.1", ["1.2.3.4"], "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", "10.0.0.2", ["1.2.3.4"], "10.0.0.2"),
        ("10.0.0.1", "10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", "10.0.0.1", ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        ("10.0.0.0/8", "10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.0/8", "10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", "10.0.0.1", ["6.6.6.6, nonsense"], "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1", ["6.6.6.6, "], "10.0.0.1"),
        ("10.0.0.1", "::ffff:10.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("::1, fd00::/8", "::1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("::1, fd00::/8", "::1", ["[2001:db8:1:2::9]:443, fd00::7"], "2001:db8:1:2::/64"),
        ("", "2001:db8:1:2::9", [], "2001:db8:1:2::/64"),
        ("", "fe80::1%eth0", [], "fe80::/64"),
        ("127.0.0.1", "", ["1.2.3.4"], ""),
    ],
)
def test_the_address_is_what_the_trusted_proxy_saw(trusted: str, host: str, forwarded: list[str], found: str) -> None:
    assert name_network(TrustedProxies(trusted).find_client(host, forwarded)) == found


@given(st.lists(st.text(max_size=30), max_size=4), st.ip_addresses(v=4))
def test_nothing_that_a_client_sends_changes_what_the_proxy_saw(forged: list[str], seen: Any) -> None:
    proxies = TrustedProxies("127.0.0.1")
    expected = proxies.find_client("127.0.0.1", [str(seen)])
    if not proxies.has(str(seen)):
        assert proxies.find_client("127.0.0.1", [*forged, str(seen)]) == expected


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.0/33", "1.2.3.4;5.6.7.8"])
def test_proxies_that_are_none_are_reported(text: str) -> None:
    with pytest.raises(ConfigError, match="--trusted-proxies"):
        TrustedProxies(text)
