"""read_at_hand: what a look at the disk reads counts only if nobody can have written to it unseen."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.config.load import load
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import Fragment, Placement, Plan
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.publish import scan
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.disk_look import look_without_a_touch
from packrat_agent.sync.fetch.local_copies import LocalCopies
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.sync.takeover.read_at_hand import read_as_hashed
from packrat_agent.sync.takeover.rehearsed import Rehearsed
from packrat_core.errors import ConfigError, Refused
from packrat_core.fs.verified import SMALL_BYTES, is_settled
from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.build_wheel import Python, build_wheel
from support.mirror_conf import write_mirror_conf

REPOS = [Repo("pypi-dev", "", "pypi-dev", "pypi", ()), Repo("apt-dev", "", "apt-dev", "apt", ())]
FORM = FORMATS["apt"]
USUAL = "apt-dev/pool/tool/tool_1_all.deb"


def a_deb(name: str, files: tuple[tuple[str, bytes], ...] = ()) -> bytes:
    return build_deb(Deb(name, "1", "all", files=files))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[MirrorContext]:
    (tmp_path / "state").mkdir()
    with open_mirror(load(write_mirror_conf(tmp_path))) as made:
        yield made


def put(context: MirrorContext, path: str, content: bytes) -> str:
    target = context.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    while not is_settled(target.stat().st_ctime_ns):
        time.sleep(0.001)
    return hashlib.sha256(content).hexdigest()


def look(context: MirrorContext, wanted: set[str], reads: Rehearsed | None = None) -> dict[str, Fragment]:
    reads = reads or Rehearsed()
    seen = look_without_a_touch(context, lambda files, size: None, read_as_hashed(REPOS, context, reads))
    assert wanted <= {file.sha256 for file in seen.found.untracked}
    return reads.recall(context.root, context.source_of(FORM, REPOS[1]), wanted)


def test_small_packages_in_their_places_are_read_as_they_are_hashed(context: MirrorContext) -> None:
    large = a_deb("large", (("usr/share/large", os.urandom(SMALL_BYTES)),))
    usual = put(context, USUAL, a_deb("tool"))
    others = {
        put(context, "apt-dev/pool/tool/tool_2_all.deb", b"no package"),
        put(context, "apt-dev/pool/tool/tool_3_all.txt", a_deb("text")),
        put(context, "apt-dev/dists/12/main/binary-amd64/Packages", b"Package: tool\n"),
        put(context, "apt-dev2/pool/tool/tool_1_all.deb", a_deb("elsewhere")),
        put(context, "pypi-dev/pool/tool/tool_1_all.deb", a_deb("of-another-type")),
        put(context, "apt-dev/pool/large/large_1_all.deb", large),
    }
    assert look(context, {usual, *others}) == {usual: FORM.read(context.root / USUAL, context.root)}


def test_a_file_that_somebody_may_write_to_unseen_is_not_read(
    context: MirrorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = put(context, USUAL, a_deb("tool"))
    with (context.root / USUAL).open("r+b"):
        assert look(context, {usual}) == {}
    assert look(context, {usual}).keys() == {usual}
    monkeypatch.setattr(scan, "is_settled", lambda ctime_ns: False)
    assert look(context, {usual}) == {}


def test_reading_stops_at_the_memory_limit(context: MirrorContext, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {put(context, f"apt-dev/pool/tool/tool_{number}_all.deb", a_deb(f"tool{number}")) for number in range(4)}
    read = []
    whole = type(FORM).read

    def note(*values: Any) -> Fragment:
        read.append(values)
        return whole(*values)

    monkeypatch.setattr(type(FORM), "read", note)
    assert look(context, wanted, Rehearsed(limit_bytes=1)) == {}
    assert len(read) == 1


@pytest.mark.parametrize("error", [Refused("torn"), ConfigError("a library is missing"), OSError("unreadable")])
def test_a_look_at_the_disk_goes_on_where_a_package_file_cant_be_read(
    context: MirrorContext, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    usual = put(context, USUAL, a_deb("tool"))

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(FORM), "read", fail)
    assert look(context, {usual}) == {}


def test_files_that_nobody_asked_for_are_read_only_by_our_own_readers(context: MirrorContext, tmp_path: Path) -> None:
    repo, rehearsal = Repo("yum-dev", "", "yum-dev", "yum", ()), Rehearsed()
    rpm = write_rpm(Rpm("tool", "1", "noarch"), tmp_path)
    sha256 = put(context, f"yum-dev/rhel/main/9/noarch/{rpm.name}", rpm.read_bytes())
    seen = look_without_a_touch(context, lambda files, size: None, read_as_hashed([repo], context, rehearsal))
    assert [file.sha256 for file in seen.found.untracked] == [sha256]
    source = context.source_of(FORMATS["yum"], repo)
    assert rehearsal.recall(context.root, source, {sha256}) == {}


def test_a_wheel_is_read_as_it_is_hashed_with_its_metadata_file(context: MirrorContext, tmp_path: Path) -> None:
    reads, form = Rehearsed(), FORMATS["pypi"]
    wheel = put(context, "pypi-dev/packages/tool/tool-1.0-py3-none-any.whl", build_wheel(Python("tool", "1.0")))
    put(context, "pypi-dev/packages/tool/torn-1.0-py3-none-any.whl", build_wheel(Python("torn", "1.0"))[:-9])
    look_without_a_touch(context, lambda files, size: None, read_as_hashed(REPOS, context, reads))
    fragment = form.read(context.root / "pypi-dev/packages/tool/tool-1.0-py3-none-any.whl", tmp_path)
    assert reads.recall(context.root, context.source_of(form, REPOS[0]), {wheel}) == {wheel: fragment}
    [metadata] = [product.sha256 for product in fragment.products if product.sha256]
    assert reads.products == {metadata: (tmp_path / metadata).read_bytes()}


def test_only_the_metadata_file_of_a_wheel_in_place_is_staged_from_memory(tmp_path: Path) -> None:
    repo, content = REPOS[0], b"Name: tool\n"
    digest, wheel = hashlib.sha256(content).hexdigest(), "0" * 64
    record = PackageFile("/uri/1", "tool", "py3", "1", "python", "all", "/files/1", "tool.whl", wheel, "")
    placement = Placement(record, "pypi-dev/packages/tool/tool.whl")
    parts = {placement.path: wheel, f"{placement.path}.metadata": digest}
    missing = {f"{placement.path}.metadata": digest}
    plan = Plan(repo, (), (), (placement,), (), (), {record.uri: parts}, {record.uri: missing}, {}, {digest: content})
    with LocalCopies(plan, tmp_path, tmp_path / "www") as copies:
        found, looked_at = copies.stage([placement])
    assert (found, looked_at) == ({record.uri: {digest: tmp_path / digest}}, 1)
    assert (tmp_path / digest).read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [digest]
