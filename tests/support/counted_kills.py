"""Kills the agent before a counted system call, once or several times in a row, while a real client reads the tree.

After each round the agent starts once without its server. Then the tree must be whole, the client must never have
failed, and no file that was on disk complete may have been downloaded again.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.verify.tree import verify_tree
from support.calls import Watch, watch
from support.keys import Key
from support.kinds import DOCKER, Kind
from support.mirror_conf import write_mirror_conf
from support.relay import Relay, relay_to
from support.stage import DEADLINE_S
from support.type_clients import CLIENTS
from support.type_stage import TypeStage, add_repo, type_stage
from support.warm_agent import WarmAgent, warm_agent
from support.web import web_server

_READING = ("open", "read", "list")
_NOBODY = "http://127.0.0.1:9"
_PAUSE_S = 0.2
_AWAY = 3
_TRIES = 3
_SHARE_OF_RUN = 0.5
_STAYING = ("web", "0.1")


@dataclass(slots=True)
class Tally:
    """What came of it; `failures` must stay empty."""

    rounds: int = 0
    kills: int = 0
    doubles: int = 0
    of_run: int = 0
    client_runs: int = 0
    failures: list[str] = field(default_factory=list)

    def is_enough(self, kills: int) -> bool:
        """Whether there were so many kills, of `sync` and of `run`."""
        return self.kills >= kills and 0 < self.of_run < self.kills

    def __str__(self) -> str:
        kills = f"{self.kills} kills ({self.of_run} of `run`), {self.doubles} of them right after another"
        return f"{self.rounds} rounds, {kills}, {self.client_runs} client runs, {len(self.failures)} failures"


def kill_at_counted_calls(directory: Path, key: Key, kind: Kind, kills: int, seed: int) -> Tally:
    """Kill the agent that many times on a mirror of two repositories of a type.

    Args:
        directory: An empty directory.
        key: What the mirror is signed with.
        kind: The type.
        kills: How many times, at least: 2 or more, since both `sync` and `run` are killed.
        seed: Chooses the calls.
    """
    (directory / "www").mkdir()
    with (
        web_server(directory / "www") as url,
        type_stage(directory, key, kind) as made,
        relay_to(made.lab.server.url) as relay,
    ):
        made.lab.extra = {"public_url": url, "grace_period": "0", "keep_generations": "2"}
        add_repo(made, f"{kind.name}-too", "dev")
        made.put_many([_STAYING])
        watched = watch(directory, [made.lab.www, directory / "state"])
        with warm_agent(directory, {**watched.environment(), "CALLS_LOG": ""}) as agent:
            lane = _Lane(made, relay, watched, agent, random.Random(seed))
            lane.configure(relay.url)
            assert lane.run() == 0
            total = lane.count()
            with lane.reading(url):
                while not (lane.tally.is_enough(kills) or lane.tally.failures or lane.tally.rounds > 10 * kills):
                    lane.round(total)
            lane.end()
    return lane.tally


class _Lane:
    """One mirror, its server behind a relay, and its agent."""

    def __init__(self, made: TypeStage, relay: Relay, watched: Watch, agent: WarmAgent, dice: random.Random) -> None:
        self.tally = Tally()
        self._made = made
        self._relay = relay
        self._watched = watched
        self._agent = agent
        self._dice = dice
        self._complete: set[str] = set()
        """The paths on the server of files that are on disk complete."""
        self._said = ""
        self._uploads = 0

    def configure(self, server: str) -> None:
        """Write mirror.conf with that server."""
        lab = self._made.lab
        assert lab.key is not None
        extra = "".join(f"{name}: {value}\n" for name, value in lab.extra.items())
        signing = f"gpg_sign_key: {lab.key.fingerprint}\ngnupg_home: {lab.key.home}\n"
        psk = f"psk: {lab.psk}\n"
        write_mirror_conf(lab.directory, server, packrat=psk, mirror=f"description: the lab's mirror\n{signing}{extra}")

    def run(self, command: str = "sync", **environment: str) -> int:
        """Run the agent to its end, or its death."""
        code, self._said = self._agent.run(["--config", str(self._made.lab.config), command], environment)
        if "Traceback" in self._said:
            self._fail("an internal error")
        return code

    def follow(self, **environment: str) -> int:
        """Run the agent as a service: a full sync, then a change; it is stopped if it lives then."""
        pid = self._agent.start(["--config", str(self._made.lab.config), "run"], environment)
        if self._agent.until_printed(pid, "checked "):
            published = self._agent.output.read_text(errors="replace").count("published repo=")
            self._upload()
            if self._agent.until_printed(pid, "published repo=", published + 1):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        code, self._said = self._agent.end()
        if "Traceback" in self._said:
            self._fail("an internal error")
        return code

    def count(self) -> int:
        """Count the changes of an undisturbed sync that has something to do."""
        self._upload()
        assert self.run(CALLS_LOG=str(self._watched.log)) == 0, self._said
        calls = [call for call in self._watched.calls() if call.name not in _READING]
        self._watched.log.unlink()
        self._relay.reset()
        self._note_complete()
        return len(calls)

    def round(self, total: int) -> None:
        """Give the agent something to do, kill it once or several times, and start it without its server."""
        self.tally.rounds += 1
        self._upload()
        for number in range(self._dice.choice((1, 1, 2, 2, 3))):
            # The first of a round is what was killed less often so far.
            follows = self._dice.random() < _SHARE_OF_RUN if number else 2 * self.tally.of_run <= self.tally.kills
            # `run` also has a change to publish.
            at = self._dice.randint(1, 2 * total if follows else total)
            code = self.follow(CALLS_KILL=str(at)) if follows else self.run(CALLS_KILL=str(at))
            self._judge_downloads(f"the kill of {'run' if follows else 'sync'} at {at}")
            if code == -signal.SIGKILL:
                self.tally.kills += 1
                self.tally.doubles += number > 0
                self.tally.of_run += follows
            elif code not in (0, _AWAY):
                self._fail(f"exit code {code}")
        self.configure(_NOBODY)
        if self.run() != _AWAY:
            self._fail("no server, and yet not exit code 3")
        self.configure(self._relay.url)
        self._audit("after a start without the server")

    def end(self) -> None:
        """Let it work in peace; everything is done then, and nothing is left over."""
        # On a machine that is busy with other things, an answer of the server may be late.
        if all(self.run() != 0 for _ in range(_TRIES)):
            self._fail("the last sync")
        self._judge_downloads("the last sync")
        self._audit("in the end")
        if list((self._made.lab.www / AGENT_DIR / "staging").iterdir()):
            self._fail("something is left in staging")

    @contextmanager
    def reading(self, url: str) -> Iterator[None]:
        """Have the real client get the package that stays, again and again."""
        over = threading.Event()
        place = self._made.lab.directory / "client"

        def read() -> None:
            while not over.wait(_PAUSE_S):
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                try:
                    CLIENTS[self._made.kind.name](self._made.lab, url, place, *_STAYING)
                except Exception as error:  # What a client stumbles over is what is looked for.
                    self._fail(f"the client: {error}")
                self.tally.client_runs += 1

        client = threading.Thread(target=read)
        client.start()
        try:
            yield
        finally:
            over.set()
            client.join(DEADLINE_S)

    def _upload(self) -> None:
        self._uploads += 1
        number = self._uploads
        names = ("web", "web") if self._made.kind is DOCKER else (f"one{number}", f"two{number}")
        self._made.put_many([(name, f"{number}.{part}") for part, name in enumerate(names, start=1)])

    def _judge_downloads(self, when: str) -> None:
        asked = {line.partition(" ")[2].partition("?")[0] for line in self._relay.asked if "/files/" in line}
        again = asked & self._complete
        if again:
            self._fail(f"{when}: downloaded again: {sorted(again)}")
        self._relay.reset()
        self._note_complete()

    def _note_complete(self) -> None:
        own = self._made.lab.www / AGENT_DIR
        named = {path.name.partition(".")[0] for top in ("staging", "made") for path in (own / top).glob("*/*")}
        parts = {path.name.partition(".")[0] for path in (own / "staging").glob("*/*.part")}
        published = {path.name for path in self._made.lab.repo.rglob("*")}
        for path in (self._made.lab.directory / "built").iterdir():
            is_staged = hashlib.sha256(path.read_bytes()).hexdigest() in named - parts
            if is_staged or path.name in published:
                self._complete.add(f"/files/{path.name}")

    def _audit(self, when: str) -> None:
        audit = verify_tree(self._made.lab.www, None, lambda files, size: None)
        if audit.faults or audit.warnings:
            self._fail(f"{when}: {audit.faults} {audit.warnings}")

    def _fail(self, what: str) -> None:
        said = re.sub(r"(?m)^.* DEBUG .*\n", "", self._said)
        self.tally.failures.append(f"round {self.tally.rounds}: {what}\n{said}")
