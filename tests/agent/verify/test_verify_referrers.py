"""`verify` goes through what refers to an image, and finds what is wrong with it."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from packrat_agent.formats.docker.format import DockerFormat
from packrat_agent.formats.interface import RenderRequest, RenderSettings
from packrat_agent.model.entries import Entry
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import TreeFile, TreeLink
from packrat_agent.verify.docker import audit_docker
from packrat_agent.verify.findings import Fault, Named, Subject
from support.odd_images import with_artifact

REPO = Repo("docker-dev", "", "docker-dev", "docker", (DistroVersion("docker", "none", None, "docker"),))


class NoChunks:
    def get(self, coding: str, digest: str) -> bytes | None:
        return None

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        raise AssertionError("nothing is compressed here")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A tree with an image and a bill of materials for it."""
    archive, made = tmp_path / "archive", tmp_path / "made"
    made.mkdir()
    archive.write_bytes(with_artifact())
    fragment = DockerFormat().read(archive, made)
    file = PackageFile("/1:", "web", "docker", "1.0", "docker", "all", "/files/x", "web_1.0.tar", "0" * 64)
    entries = [Entry(file, "v2/web", fragment)]
    settings = RenderSettings("", signed=False, signature_api=False)
    tree = DockerFormat().render(RenderRequest(REPO, entries, settings, datetime.now(UTC), NoChunks()))
    directory = tmp_path / "top/docker-dev"
    for product in fragment.products:
        target = directory / "v2/web" / product.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((made / product.sha256).read_bytes())
    for publication in tree:
        for part in (*publication.content, *publication.pointers):
            target = directory / part.path
            target.parent.mkdir(parents=True, exist_ok=True)
            match part:
                case TreeFile():
                    target.write_bytes(bytes(part.content))
                case TreeLink():
                    target.symlink_to(part.target)
    return tmp_path / "top"


def faults(top: Path) -> list[str]:
    """What the audit finds, with the hashes of all files that it names."""
    found = []
    for finding in audit_docker(Subject(top, None), "docker-dev"):
        match finding:
            case Fault():
                found.append(f"{finding.path}: {finding.what}")
            case Named():
                path = top / finding.path
                if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != finding.sha256:
                    found.append(f"{finding.path}: has other bytes")
    return found


def change(path: Path, how: Callable[[dict[str, list[dict[str, str]]]], None]) -> None:
    value = json.loads(path.read_bytes())
    how(value)
    path.write_bytes(json.dumps(value).encode() + b"\n")


def test_a_sound_tree_has_no_faults_and_all_of_the_artifact_is_named(top: Path) -> None:
    assert faults(top) == []
    named = {f.path for f in audit_docker(Subject(top, None), "docker-dev") if isinstance(f, Named)}
    blobs = {str(path.relative_to(top)) for path in (top / "docker-dev/v2/web/blobs").iterdir()}
    assert len(blobs) == 4
    assert blobs <= named


def test_faults_of_a_list_are_found(top: Path) -> None:
    [listed] = (top / "docker-dev/v2/web/referrers").iterdir()
    sound = listed.read_bytes()
    top_manifest = f"sha256:{hashlib.sha256((top / 'docker-dev/v2/web/manifests/1.0').read_bytes()).hexdigest()}"
    artifact = json.loads(sound)["manifests"][0]["digest"]
    listed.write_bytes(sound.replace(b": ", b":", 1))
    assert "is not written as it should be" in faults(top)[0]
    listed.write_bytes(b"{}\n")
    assert any("manifest" in fault for fault in faults(top))
    change(listed, lambda value: value.update(json.loads(sound.replace(artifact.encode(), top_manifest.encode()))))
    assert any("does not refer to" in fault for fault in faults(top))
    listed.write_bytes(sound)
    (top / f"docker-dev/v2/web/manifests/{artifact}").write_bytes(b"{}")
    assert any("has other bytes" in fault for fault in faults(top))
