"""What a running agent replaces while `verify` reads is not a fault; what is wrong with the tree still is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.verify.findings import Audit
from packrat_agent.verify.tree import verify_tree
from support.keys import Key
from support.kinds import KINDS, Kind
from support.stage import Daemon, daemon
from support.type_stage import TypeStage, type_stage


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def made(request: pytest.FixtureRequest, tmp_path: Path, key: Key) -> Iterator[TypeStage]:
    kind: Kind = request.param
    with type_stage(tmp_path, key, kind) as stage:
        stage.grace(0)
        stage.put("web", "1.0")
        yield stage


def verify_during_change(made: TypeStage, agent: Daemon) -> Audit:
    """Verify, and publish a change between the reading of the indexes and that of the files."""

    def change(_files: int) -> None:
        made.put("web", "2.0", inside=b"2")
        agent.until_logged(f"published repo={made.kind.name}-dev", 2)

    return verify_tree(made.lab.www, None, lambda files, size: None, None, change)


def test_a_file_replaced_meanwhile_is_not_a_fault(made: TypeStage) -> None:
    with daemon(made.lab) as agent:
        agent.until_logged("checked")
        assert verify_during_change(made, agent).faults == ()
        assert agent.stop() == 0


def test_faults_are_reported_although_other_files_change(made: TypeStage) -> None:
    with daemon(made.lab) as agent:
        agent.until_logged("checked")
        # In place, and as long as before, so that nothing but the bytes tell.
        name = next(name for name, _ in sorted(made.packages().items()))
        path = made.lab.repo / name
        with path.open("r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 1]))
        assert {fault.path for fault in verify_during_change(made, agent).faults} >= {
            str(path.relative_to(made.lab.www))
        }
        assert agent.stop() == 0
