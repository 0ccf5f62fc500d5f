"""What belongs to a withdrawn file stays as long as that file: after a kill, with an old state database, and after GC.

The signatures of an image belong to its manifest, the metadata file to its wheel.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from crash.test_die_anywhere import die
from packrat_agent.verify.tree import verify_tree
from support.keys import Key
from support.kinds import DOCKER, PYPI, Kind
from support.type_stage import TypeStage, type_stage

_BELONGS = {
    r"(docker-dev)/extensions/v2/([^/]+)/signatures/(sha256:[0-9a-f]{64})": r"\1/v2/\2/manifests/\3",
    r"(docker-dev)/sigstore/docker-dev/([^/]+)@sha256=([0-9a-f]{64})/signature-\d+": r"\1/v2/\2/manifests/sha256:\3",
    r"(.+)\.metadata": r"\1",
}


def owners(made: TypeStage) -> Mapping[str, str]:
    """Path of what belongs to another file → path of that file, of those on disk."""
    found = {}
    for path in made.lab.tree():
        for pattern, owner in _BELONGS.items():
            if match := re.fullmatch(pattern, path):
                found[path] = match.expand(owner)
    return found


def lost(made: TypeStage, before: Mapping[str, str]) -> list[str]:
    """What is gone while the file that it belongs to is still there."""
    here = set(made.lab.tree())
    return [path for path, owner in before.items() if owner in here and path not in here]


def begin(made: TypeStage) -> str:
    """Publish a package that is going to be withdrawn, which has all that can belong to one; gives its URI."""
    made.lab.extra |= {"public_url": "http://127.0.0.1:5000", "docker_signature_api": "yes"}
    made.lab.write_config()
    made.put("web", "0.5", inside=b"other")
    uri = made.put("web", "1.0")
    made.lab.agent("sync")
    assert owners(made)
    return uri


def tag_again(made: TypeStage) -> str:
    """Upload the image once more, with another tag; gives the URI."""
    _, data = DOCKER.build("web", "1.0", DOCKER.arches[0], b"")
    return made.put_file("web_0.9.tar", data, DOCKER.uploaded_for)


def test_after_a_kill_the_signatures_of_an_image_stay(tmp_path: Path, key: Key) -> None:
    with type_stage(tmp_path, key, DOCKER) as made:
        uris = [begin(made)]
        # The image gets another tag: its list of signatures is rewritten, and the state database has the old one.
        uris.append(tag_again(made))
        die(made.lab, "content-flushed")
        before = owners(made)
        for uri in uris:
            made.lab.server.act(uri, "fail")
        made.lab.agent("sync")
        assert lost(made, before) == []
        assert set(before.values()) <= set(made.lab.tree())
        assert "0 faults" in made.lab.agent("verify").stdout


def test_with_an_old_state_database_and_none(tmp_path: Path, key: Key) -> None:
    with type_stage(tmp_path, key, DOCKER) as made:
        uris = [begin(made)]
        shutil.copytree(made.lab.directory / "state", tmp_path / "old")
        uris.append(tag_again(made))
        made.lab.agent("sync")
        before = owners(made)
        for uri in uris:
            made.lab.server.act(uri, "fail")
        shutil.rmtree(made.lab.directory / "state")
        shutil.copytree(tmp_path / "old", made.lab.directory / "state")
        made.lab.agent("sync")
        assert lost(made, before) == []
        assert set(before.values()) <= set(made.lab.tree())
        # The grace period is over: all of it goes.
        made.grace(0)
        made.lab.agent("sync")
        assert set(owners(made).values()) <= set(made.lab.tree())
        assert not set(before.values()) <= set(made.lab.tree())
        made.lose_state()
        made.lab.agent("sync")
        assert set(owners(made).values()) <= set(made.lab.tree())
        assert "0 faults" in made.lab.agent("verify").stdout


@pytest.mark.parametrize("kind", [DOCKER, PYPI], ids=lambda kind: kind.name)
def test_while_garbage_is_collected(tmp_path: Path, key: Key, kind: Kind) -> None:
    with type_stage(tmp_path, key, kind) as made:
        uri = begin(made)
        made.grace(0)
        made.lab.agent("sync")
        before = owners(made)
        made.lab.server.act(uri, "fail")
        die(made.lab, "indexes-collected")
        assert lost(made, before) == []
        die(made.lab, "file-collected")
        assert lost(made, before) == []
        made.lab.agent("sync")
        assert lost(made, before) == []
        assert set(owners(made).values()) <= set(made.lab.tree())
        assert set(before.values()) - set(made.lab.tree())


def test_a_wheel_that_comes_back_without_its_metadata_file_is_not_removed(tmp_path: Path, key: Key) -> None:
    with type_stage(tmp_path, key, PYPI) as made:
        uri = begin(made)
        made.lab.server.untag(uri, "dev")
        made.lab.agent("sync")
        [metadata] = [path for path, owner in owners(made).items() if "1.0" in owner]
        # The bytes are still somewhere, so that nothing is downloaded.
        (made.lab.www / metadata).rename(made.lab.www / "spare")
        made.lab.server.tag(uri, "dev")
        made.grace(0)
        made.lab.agent("sync")
        assert made.offered() == made.expected(("web", "0.5"), ("web", "1.0"))
        assert verify_tree(made.lab.www, None, lambda files, size: None).faults == ()
