"""What `verify` says to do about faults is what helps."""

from packrat_agent.cli.audit_tree import advise
from packrat_agent.verify.findings import DATED_AHEAD, KEY_ENDED, Fault, explain_refusal
from packrat_core.errors import Refused

DAMAGED = Fault("apt/pool/a.deb", "has 5 bytes, the index says 6")
FORMER = Fault("apt/pool/b.deb", explain_refusal(Refused("its control file has an unusable Version: b'v1.0'")))


def test_damage_is_repaired_by_a_sync() -> None:
    assert advise([DAMAGED]) == "a full sync of its agent repairs them (`packrat-agent sync`)"


def test_advice_on_refused_packages_names_only_the_server() -> None:
    assert advise([FORMER, FORMER]) == (
        "take packages that would be refused at upload off the server, or upload them built again"
    )


def test_both_kinds_of_fault_get_their_advice() -> None:
    for faults in ([FORMER, DAMAGED], [DAMAGED, FORMER]):
        assert advise(faults) == f"{advise([DAMAGED])}; {advise([FORMER])}"


def test_a_kept_file_is_the_operators_own() -> None:
    own = Fault("repo-key", "is missing, though repo-key.gpg is there")
    around = Fault("files", "a web server can't look into it")
    advice = "correct what keep_file_list names, which the agent does not write, or take it out of there"
    for faults in ([own], [around], [own, around]):
        assert advise(faults, {"repo-key", "files/a.txt"}) == advice
    assert advise([own, DAMAGED, FORMER], {"repo-key"}) == f"{advise([DAMAGED])}; {advice}; {advise([FORMER])}"
    assert advise([own], {"repo-key.gpg"}) == advise([DAMAGED])


def test_an_ended_key_comes_before_the_sync_that_could_not_sign() -> None:
    ended = Fault("repo-key.gpg", f"{KEY_ENDED}: 0123 expired on 2026-11-01")
    first = "the signing key comes first: `packrat-agent key show` on the mirror says how to extend or replace it"
    for faults in ([ended], [DAMAGED, ended]):
        assert advise(faults) == f"{first}; {advise([DAMAGED])}"


def test_a_release_from_the_future_needs_a_clock_and_no_ordinary_sync() -> None:
    ahead = Fault(
        "apt/dists/bookworm/Release", f"{DATED_AHEAD}, and apt refuses it until Wed, 01 Jan 2200 00:05:00 UTC"
    )
    clock = (
        "set this machine's clock if it is behind, and verify again; if it is right, `packrat-agent sync "
        "--trust-clock` on the mirror publishes with the present date"
    )
    assert advise([ahead]) == clock
    assert advise([DAMAGED, ahead]) == f"{clock}; {advise([DAMAGED])}"
