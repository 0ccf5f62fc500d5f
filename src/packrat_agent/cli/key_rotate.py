"""Replaces a signing key, phase by phase, by changing which keys mirror.conf names: `packrat-agent key rotate`.

The phase is what mirror.conf says, so each step is one change of that file: it has happened or it has not. A step that
has happened already says so, and changes nothing.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from packrat_agent.cli.as_root import as_owner
from packrat_agent.cli.key_status import read_key_status
from packrat_agent.cli.next_step import command_line
from packrat_agent.cli.rotation_advice import RELOAD, Advice
from packrat_agent.config.edit import change, save
from packrat_agent.config.ini import read_text
from packrat_agent.config.load import load
from packrat_agent.config.rotation_phase import Phase
from packrat_agent.config.settings import Config, KeyNames
from packrat_agent.gpg.keyring import find_key, find_silent
from packrat_agent.status.rotation import describe_phase, explain_rotation_trouble
from packrat_agent.sync.keys.find_keys import find_keys
from packrat_core.cli.tell_next import tell_next
from packrat_core.errors import ConfigError, DiskError, Held, SigningError
from packrat_core.text import count_of

_Change = Mapping[str, str | None]
_STEPS = ("begin", "switch", "finish", "forget", "now")


def rotate(config_path: Path, section: str, steps: Mapping[str, str | bool | None]) -> None:
    """Take one step of a rotation, or say where it stands.

    Args:
        config_path: mirror.conf.
        section: The section whose key it is.
        steps: The options of `key rotate` by name, of which one may be given.

    Raises:
        PackratError: The step can't be taken; nothing was changed.
    """
    config = load(config_path)
    asked = [step for step in _STEPS if steps[step]]
    if len(asked) > 1:
        raise ConfigError(f"--{asked[0]} and --{asked[1]} are steps of their own", hint="give one at a time")
    names = config.all_keys.get(section)
    if names is None:
        raise ConfigError(
            f"[{section}] of {config.source} has no gpg_sign_key, so there is nothing to rotate",
            hint="see `packrat-agent key show`",
        )
    rotation = _Rotation(config, section, names)
    take: Mapping[str, Callable[[], None]] = {
        "begin": lambda: rotation.begin(str(steps["begin"])),
        "switch": rotation.switch,
        "finish": rotation.finish,
        "forget": rotation.forget,
        "now": lambda: rotation.now(str(steps["now"])),
    }
    take.get(asked[0] if asked else "", rotation.tell)()


class _Rotation:
    """The rotation of the key of one section, and its steps."""

    def __init__(self, config: Config, section: str, names: KeyNames) -> None:
        self._config = config
        self._section = section
        self._names = names
        self._noted = read_key_status(config, section)
        self._advice = Advice(section, config.source)

    def tell(self) -> None:
        """Say where the rotation stands, and what comes next."""
        names, noted = self._names, self._noted
        phase = _phase(names)
        if phase is None:
            click.echo(f"[{self._section}] signs with {names.sign_key}; no rotation is under way")
            click.echo(self._advice.how_to_begin())
            if noted is not None and noted.phase is not None:
                # It still signs as mirror.conf said before.
                tell_next(RELOAD)
            return
        is_noted = noted is not None and noted.phase == phase.value
        now = time.time()
        if noted is not None and is_noted:
            click.echo(f"[{self._section}] phase {describe_phase(noted, now)}")
            if (trouble := explain_rotation_trouble(noted, now)) is not None:
                click.echo(f"! {trouble}")
        else:
            click.echo(f"[{self._section}] phase {phase.value}: mirror.conf says so, and the agent has not read it yet")
        click.echo(self._advice.what_next(phase))
        if not is_noted:
            tell_next(RELOAD)

    def begin(self, name: str) -> None:
        """Offer a new key to clients.

        Raises:
            ConfigError: Another rotation is under way.
            SigningError: The new or the present key can't be used.
        """
        names = self._names
        if names.former_key is not None:
            raise ConfigError(
                f"the last rotation of [{self._section}] is not over: {names.former_key} still signs beside the key",
                hint=f"end it with {self._advice.rotate('--finish')}",
            )
        present, new = self._find(names.sign_key), self._find(name)
        if new == present:
            raise SigningError(
                f"{name} is the key that signs already", hint="make another with `packrat-agent key new`"
            )
        if names.next_key is not None and self._find(names.next_key) != new:
            raise ConfigError(
                f"[{self._section}] offers another key already, {names.next_key}",
                hint="take gpg_next_key out of mirror.conf to give that one up",
            )
        # A primary key stands for its newest subkey, which may be the new one.
        values = {"gpg_sign_key": present, "gpg_next_key": new}
        self._apply(Phase.OFFERED, {**values, **self._without_retired(new)})

    def switch(self) -> None:
        """Let the new key sign.

        Raises:
            ConfigError: No key is offered.
            Held: Clients can't have it yet.
        """
        names = self._names
        if names.former_key is not None:
            self._tell_done("the new key signs already")
            return
        if names.next_key is None:
            raise ConfigError(
                f"[{self._section}] offers no other key", hint=f"begin with {self._advice.rotate('--begin', 'KEY')}"
            )
        new, noted = self._find(names.next_key), self._noted
        if noted is None or noted.phase != Phase.OFFERED or noted.next != new or noted.offered_at is None:
            raise Held(
                f"{new} is not published yet, so no client can have it",
                hint="let the agent read mirror.conf again (`systemctl reload packrat-agent`) and do a full sync, then "
                "give the clients time to fetch the key",
            )
        # The present key is not tried: it may have expired, and going on is the way out of that.
        values = {"gpg_sign_key": new, "gpg_next_key": None, "gpg_former_key": noted.fingerprint}
        self._apply(Phase.SWITCHED, {**values, **self._without_retired(new)})

    def finish(self) -> None:
        """Retire the former key; its public part stays for packages that it has signed.

        Raises:
            ConfigError: There is no former key.
            Held: The new key has not signed everything yet.
        """
        names, noted = self._names, self._noted
        if names.former_key is None:
            # Where no package needs the former key, mirror.conf names none, and only the agent's note says what was.
            is_unread = names.next_key is None and noted is not None and noted.phase == Phase.SWITCHED
            if names.retired_keys or is_unread:
                self._tell_done("the former key no longer signs")
                return
            raise ConfigError(
                f"[{self._section}] has no gpg_former_key, so there is nothing to end",
                hint=f"{self._advice.rotate()} says where the rotation stands, and which step comes next",
            )
        if noted is None or noted.phase != Phase.SWITCHED or noted.switched_at is None or noted.former is None:
            raise Held(
                "the new key has not signed everything yet",
                hint="let the agent read mirror.conf again (`systemctl reload packrat-agent`) and do a full sync",
            )
        retired = set(names.retired_keys)
        if noted.kept_packages:
            retired.add(noted.former)
        values = {"gpg_former_key": None, "gpg_retired_keys": ", ".join(sorted(retired)) or None}
        self._apply(Phase.RETIRED if retired else None, values)
        if not retired:
            click.echo(self._advice.ended())

    def forget(self) -> None:
        """Stop publishing retired keys.

        Raises:
            Held: Packages need them.
        """
        names, noted = self._names, self._noted
        if not names.retired_keys:
            self._tell_done("no key is retired")
            return
        is_noted = names.former_key is None and noted is not None and noted.phase == Phase.RETIRED
        # After a lost state database no package is counted before the next full sync has ended, which sets the date.
        if noted is None or not is_noted or noted.retired_at is None or noted.kept_packages is None:
            raise Held("it is not known yet whether packages need the retired keys", hint="do a full sync first")
        if noted.kept_packages:
            packages = "published package has", "published packages have"
            kept = count_of(noted.kept_packages, *packages, grouped=True)
            raise Held(
                f"{kept} the signature of a retired key, and clients need it for them",
                hint="wait until they are withdrawn. To have them signed again, with other bytes under the same names, "
                "take gpg_retired_keys out of mirror.conf",
            )
        self._apply(None, {"gpg_retired_keys": None})

    def now(self, name: str) -> None:
        """Sign everything with another key at once.

        Raises:
            SigningError: The key can't be used.
        """
        new = self._find(name)
        gone = dict.fromkeys(("gpg_next_key", "gpg_former_key", "gpg_retired_keys"))
        self._apply(None, {"gpg_sign_key": new, **gone})
        click.echo(self._advice.without_overlap())

    def _find(self, name: str) -> str:
        """Find the fingerprint that signs under a name, and try it."""
        mirror = self._config.mirror

        def work() -> str:
            return find_key(name, mirror.gnupg_home, mirror.passphrase_file, datetime.now(UTC), "KEY").fingerprint

        return as_owner(self._config, work)

    def _without_retired(self, new: str) -> _Change:
        """Give the change that a rotation back to a retired key needs: a key that signs is not retired."""
        home, retired = self._config.mirror.gnupg_home, self._names.retired_keys

        def work() -> set[str]:
            found = {name: find_silent("gpg_retired_keys", name, home).fingerprints for name in retired}
            return {name for name, fingerprints in found.items() if new not in fingerprints}

        left = as_owner(self._config, work) if retired else set()
        return {} if left == retired else {"gpg_retired_keys": ", ".join(sorted(left)) or None}

    def _try(self, values: _Change) -> None:
        """Find the keys as the agent will, so that mirror.conf never gets what the agent refuses.

        Raises:
            SigningError: The agent would refuse them.
        """
        names = self._names
        retired = values.get("gpg_retired_keys", ", ".join(names.retired_keys)) or ""
        mirror = replace(
            self._config.mirror,
            gpg_sign_key=values.get("gpg_sign_key", names.sign_key),
            gpg_next_key=values.get("gpg_next_key", names.next_key),
            gpg_former_key=values.get("gpg_former_key", names.former_key),
            gpg_retired_keys=frozenset(retired.split(", ")) if retired else frozenset(),
        )
        # The keys of other sections may be broken; this one is replaced all the same.
        trial = replace(self._config, mirror=mirror, section_keys={})

        def work() -> None:
            find_keys(trial)

        as_owner(self._config, work)

    def _apply(self, phase: Phase | None, values: _Change) -> None:
        path = self._config.source
        text = read_text(path)
        changed = change(text, self._section, values)
        if changed == text:
            self._tell_done("mirror.conf says so already")
            return
        self._try(values)
        try:
            save(path, changed)
        except (OSError, DiskError) as error:
            lines = [f"  {key}: {value}" for key, value in values.items() if value is not None]
            lines += [f"  (no {key})" for key, value in values.items() if value is None]
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(
                f"{path} can't be changed ({reason}); nothing was done",
                hint="run this as root, or have [" + self._section + "] say:\n" + "\n".join(lines),
            ) from None
        click.echo(f"{path} is changed; the agent has not read it yet")
        if phase is not None:
            click.echo(self._advice.what_next(phase))
        if phase is Phase.OFFERED:
            backup = command_line(path, "key", "backup", "FILE")
            tell_next(f"{backup}, since the new key exists nowhere else; then {RELOAD}")
        else:
            tell_next(RELOAD)

    def _tell_done(self, what: str) -> None:
        click.echo(f"nothing to do: {what}")
        self.tell()


def _phase(names: KeyNames) -> Phase | None:
    if names.next_key is not None:
        return Phase.OFFERED
    if names.former_key is not None:
        return Phase.SWITCHED
    return Phase.RETIRED if names.retired_keys else None
