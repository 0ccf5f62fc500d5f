"""A kill, a lost state database and an expired key in the middle of a rotation."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.keys import gnupg_home
from support.rotation_stage import RotationStage, rotation_stage

IN_RELEASE = "apt-dev/dists/bookworm/InRelease"
REPOMD = "yum-dev/rhel/main/9/repodata/repomd.xml"
FIRST = "yum-dev/rhel/main/9/noarch/hello-1-1.noarch.rpm"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[RotationStage]:
    """A mirror with a package that the old key has signed, which offers the new key."""
    with gnupg_home() as home, rotation_stage(tmp_path, home, ("apt", "yum")) as stage:
        stage.put("1")
        stage.set_phase("offered")
        stage.lab.agent("sync")
        yield stage


def first_rpm(made: RotationStage) -> tuple[int, bytes]:
    path = made.lab.www / FIRST
    return path.stat().st_ino, path.read_bytes()


def signed_by(made: RotationStage) -> tuple[set[str], set[str]]:
    return made.signers(IN_RELEASE), made.signers(f"{REPOMD}.asc", REPOMD)


def test_a_kill_between_two_phases_loses_nothing(made: RotationStage) -> None:
    rpm = first_rpm(made)
    for number, step in enumerate(("publish-noted", "pointer-renamed:2", "published-noted:2"), start=2):
        made.put(str(number))
        made.set_phase("switched")
        died = made.lab.sync({**os.environ, "PACKRAT_AGENT_DIE_AT": step})
        assert died.returncode == -signal.SIGKILL, died.stderr
        made.lab.agent("sync")
        assert made.faults() == []
        assert (signed_by(made), first_rpm(made)) == (({"old", "new"}, {"new"}), rpm)
        # Back again: what the new key has signed stays as well.
        made.set_phase("offered")
        made.lab.agent("sync")
        assert (signed_by(made), first_rpm(made)) == (({"old"}, {"old"}), rpm)


def test_a_lost_state_database_changes_no_phase_and_no_package(made: RotationStage) -> None:
    rpm = first_rpm(made)
    for phase, by in (("switched", {"old", "new"}), ("retired", {"new"})):
        made.set_phase(phase)
        # Lost at the worst moment, too: before anything of the new phase is remembered.
        made.lab.lose_state()
        made.lab.agent("sync")
        made.lab.lose_state()
        made.lab.agent("sync")
        assert (signed_by(made), first_rpm(made)) == ((by, {"new"}), rpm)
        assert made.faults() == []
        told = made.status()
        assert (told["phase"], told["kept_packages"]) == (phase, 1)


def test_a_former_key_that_expires_no_longer_signs_and_stops_nothing(made: RotationStage) -> None:
    made.set_phase("switched")
    made.lab.agent("sync")
    rpm = first_rpm(made)
    made.expire_old()
    said = made.lab.agent("sync").stderr
    assert "the former key does not sign any more" in said
    assert (signed_by(made), first_rpm(made)) == (({"new"}, {"new"}), rpm)
    # rpm takes what was signed before the key expired.
    assert made.faults() == []
    told = made.status()
    assert (told["phase"], told["former"]) == ("switched", made.old.fingerprint)
    assert "is expired" in str(told["silent"])
    assert (
        "does not sign any more" in made.lab.agent("check", "--allow-stopped", "--disk-free", "0", expect=None).stdout
    )
    made.lab.agent("key", "rotate", "--finish")
    made.lab.agent("sync")
    assert made.faults() == []


def test_an_old_key_that_expires_before_the_new_one_signs_stops_the_agent(made: RotationStage) -> None:
    made.expire_old()
    refused = made.lab.agent("sync", expect=6).stderr
    assert "is expired" in refused
    # The new key is at hand, so going on is one way to mend it; clients that have it don't notice.
    made.lab.agent("key", "rotate", "--switch")
    made.lab.agent("sync")
    assert signed_by(made) == ({"new"}, {"new"})


def test_a_next_key_that_expires_stops_the_agent_until_it_is_given_up(made: RotationStage) -> None:
    made.expire_old()
    made.configure(f"gpg_sign_key: {made.new.fingerprint}\ngpg_next_key: {made.old.fingerprint}")
    refused = made.lab.agent("sync", expect=6).stderr
    assert "is expired" in refused
    assert "take gpg_next_key out of mirror.conf" in refused
    made.configure(f"gpg_sign_key: {made.new.fingerprint}")
    made.lab.agent("sync")
    assert signed_by(made) == ({"new"}, {"new"})


def test_without_overlap_all_is_signed_again(made: RotationStage) -> None:
    made.set_phase("switched")
    made.lab.agent("sync")
    before = first_rpm(made)[1]
    said = made.lab.agent("key", "rotate", "--now", made.new.fingerprint).stdout
    assert "this breaks all clients until they have the new key" in said
    made.lab.agent("sync")
    assert signed_by(made) == ({"new"}, {"new"})
    assert first_rpm(made)[1] != before
    assert made.faults() == []
    assert made.status()["phase"] is None


def test_a_switch_waits_for_the_key_to_be_published(made: RotationStage) -> None:
    old, new = made.old.fingerprint, made.new.fingerprint
    made.set_phase(None)
    made.lab.agent("sync")
    made.lab.agent("key", "rotate", "--begin", new)
    for step in ("--switch", "--finish"):
        refused = made.lab.agent("key", "rotate", step, expect=None)
        assert refused.returncode in (2, 10), refused.stdout
    told = made.lab.agent("key", "rotate").stdout
    assert "the agent has not read it yet" in told
    again = made.lab.agent("key", "rotate", "--begin", new).stdout
    assert "nothing to do" in again
    made.lab.agent("sync")
    told = made.lab.agent("key", "rotate").stdout
    assert "phase 1 of 3 since " in told
    assert f": {new} is offered to clients" in told
    assert "repo-key.gpg" in told
    assert "rotation   1 of 3" in made.lab.agent("status").stdout
    made.lab.agent("key", "rotate", "--switch")
    text = made.lab.config.read_text()
    assert f"gpg_sign_key: {new}\ngpg_former_key: {old}\n" in text
    assert json.loads(made.lab.agent("status", "--json").stdout)["key"]["phase"] == "offered"


def test_after_a_lost_state_database_no_retired_key_is_forgotten_before_packages_are_counted(
    made: RotationStage,
) -> None:
    made.set_phase("retired")
    made.lab.agent("sync")
    made.lab.lose_state()
    psk, made.lab.psk = made.lab.psk, "wrong"
    made.set_phase("retired")
    # It notes the keys, and gets no further.
    made.lab.agent("sync", expect=None)
    assert (made.status()["phase"], made.status()["kept_packages"]) == ("retired", 0)
    refused = made.lab.agent("key", "rotate", "--forget", expect=10).stderr
    assert "not known yet whether packages need the retired keys" in refused
    made.lab.psk = psk
    made.set_phase("retired")
    made.lab.agent("sync")
    refused = made.lab.agent("key", "rotate", "--forget", expect=10).stderr
    assert "1 published package has the signature of a retired key" in refused


def test_a_rotation_goes_back_to_a_retired_key(made: RotationStage) -> None:
    old, new = made.old.fingerprint, made.new.fingerprint
    rpm = first_rpm(made)
    made.set_phase("retired")
    made.lab.agent("sync")
    made.lab.agent("key", "rotate", "--begin", old)
    assert "gpg_retired_keys" not in made.lab.config.read_text()
    made.lab.agent("sync")
    made.lab.agent("key", "rotate", "--switch")
    assert f"gpg_sign_key: {old}\ngpg_former_key: {new}\n" in made.lab.config.read_text()
    made.lab.agent("sync")
    assert (signed_by(made), first_rpm(made)) == (({"old", "new"}, {"old"}), rpm)


def test_a_release_that_two_keys_signed_is_still_ours_after_a_lost_state_database(made: RotationStage) -> None:
    made.set_phase("switched")
    made.lab.agent("sync")
    # apt would ask its users about another label, so the published one holds; the former key is known no more.
    made.configure(f"gpg_sign_key: {made.new.fingerprint}\napt_label: other")
    made.lab.lose_state()
    made.lab.agent("sync", expect=None)
    assert "Label: apt-dev\n" in (made.lab.www / "apt-dev/dists/bookworm/Release").read_text()


def test_a_subkey_and_the_key_of_a_section_are_rotated_in_the_same_way(made: RotationStage) -> None:
    """The main key changes to a subkey of its own; apt has a section with the old key."""
    lab, old = made.lab, made.old.fingerprint
    gpg = ["gpg", "--homedir", str(made.old.home), "--batch", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-add-key", old, "rsa2048", "sign"], check=True, capture_output=True)
    listed = subprocess.run([*gpg, "--with-colons", "--list-keys", old], check=True, capture_output=True, text=True)
    subkey = [line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fpr:")][1]
    # The section keeps the key itself; that of [mirror] would sign with its newest subkey at once.
    section = f"[repo apt-dev]\ngpg_sign_key: {made.new.fingerprint}\n"
    made.configure(f"gpg_sign_key: {made.new.fingerprint}\n{section}")
    lab.agent("sync")
    lab.agent("key", "rotate", "--section", "repo apt-dev", "--begin", subkey)
    lab.agent("sync")
    told = json.loads(lab.agent("status", "--json").stdout)
    assert told["key"]["phase"] is None
    assert [(section["section"], section["key"]["phase"]) for section in told["section_keys"]] == [
        ("repo apt-dev", "offered")
    ]
    lab.agent("key", "rotate", "--section", "repo apt-dev", "--switch")
    lab.agent("sync")
    # Nothing of the other repository has changed.
    assert made.signers(f"{REPOMD}.asc", REPOMD) == {"new"}
    assert made.faults() == []
    said = lab.agent("key", "rotate", "--section", "repo apt-dev", "--finish").stdout
    assert "no package needs it" in said
    # It was killed before it could say so, for example, and is given again.
    again = lab.agent("key", "rotate", "--section", "repo apt-dev", "--finish")
    assert "nothing to do: the former key no longer signs" in again.stdout
    assert "systemctl reload packrat-agent" in again.stderr
    # apt has no signed packages, so there is nothing to retire.
    assert "gpg_retired_keys" not in lab.config.read_text(), said
    # Another subkey of the same primary key.
    subprocess.run([*gpg, "--quick-add-key", old, "rsa2048", "sign"], check=True, capture_output=True)
    listed = subprocess.run([*gpg, "--with-colons", "--list-keys", old], check=True, capture_output=True, text=True)
    later = [line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fpr:")][2]
    lab.agent("key", "rotate", "--section", "repo apt-dev", "--begin", later)
    assert f"gpg_sign_key: {subkey}\ngpg_next_key: {later}\n" in lab.config.read_text()
    lab.agent("sync")
    lab.agent("key", "rotate", "--section", "repo apt-dev", "--switch")
    lab.agent("sync")
    assert made.faults() == []
    verified = subprocess.run(
        [*gpg[:-2], "--status-fd", "1", "--verify", lab.www / IN_RELEASE], capture_output=True, text=True, check=False
    ).stdout
    assert all(f"VALIDSIG {part} " in verified for part in (subkey, later))
