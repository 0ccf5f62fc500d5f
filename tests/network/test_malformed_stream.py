"""What something in between puts into the answer that stays open ends neither the agent nor its hearing of changes."""

from packrat_demo.build_deb import Deb
from support.stage import Stage, daemon, relayed


def test_a_stream_of_changes_that_becomes_malformed_is_opened_again(lab: Stage) -> None:
    with relayed(lab) as relay, daemon(lab) as agent:
        agent.until_logged("checked")
        lab.server.put_deb(Deb("first", "1", "amd64"))
        agent.until_logged("added=1")
        relay.insert(b"not a chunk\r\n")
        lab.server.put_deb(Deb("second", "1", "amd64"))
        agent.until_logged("added=1", 2)
        assert agent.stop() == 0
    assert "Package: second" in lab.packages()
