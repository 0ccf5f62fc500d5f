"""build: what is read for an index is read from the bytes of the record, wherever they lie."""

import hashlib
import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.formats.docker.products import ProductWriter, Written
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import Placement, Plan, refusal_reason
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.sync.build import Made, Material, build_packages
from packrat_core.archives.plain_stream import Readable
from packrat_core.errors import Refused
from packrat_core.packages.deb.control import check_file_name
from packrat_core.packages.rpm.header import INT32, Header, Item
from packrat_core.packages.rpm.inspect import identify
from packrat_core.packages.rpm.tags import SOURCE_PACKAGE
from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.build_image import Image, build_oci, tar
from support.kinds import KINDS, Kind

REPO = Repo("dev", "", "dev", "", ())


def build(tmp_path: Path, kind: Kind, *, is_staged: bool, forged: bool) -> Made:
    """Make what is published of a package file that is in staging, or in its place since the database was lost."""
    name, data = kind.build("hello", "1", kind.arches[0], b"genuine")
    _, other = kind.build("hello", "1", kind.arches[0], b"forged!")
    sha256 = hashlib.sha256(data).hexdigest()
    staging = tmp_path / "staging"
    staging.mkdir()
    (tmp_path / "dev").mkdir()
    path = staging / sha256 if is_staged else tmp_path / "dev" / name
    path.write_bytes(other if forged else data)
    arch = kind.arches[0]
    record = PackageFile("/f/1", "hello", "x", "1", kind.name, arch, "/files/1", name, sha256)
    placement = Placement(record, f"dev/{name}")
    staged = {sha256: path} if is_staged else {}
    fetch, keep = ((placement,), ()) if is_staged else ((), (placement,))
    parts = {} if is_staged else {record.uri: {placement.path: sha256}}
    plan = Plan(REPO, keep, fetch, (), (), (), parts, {}, {})
    return build_packages(plan, FORMATS[kind.name], None, Material(tmp_path, staging, staged, {}, {}, {}, {}))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("is_staged", [True, False])
def test_other_bytes_of_the_same_size_are_fetched_again(tmp_path: Path, kind: Kind, is_staged: bool) -> None:
    if kind.name == "docker" and not is_staged:
        pytest.skip("an image is not published itself")
    made = build(tmp_path, kind, is_staged=is_staged, forged=True)
    assert made.entries == []
    assert made.fresh == {}
    [failed] = made.failed
    assert "other bytes" in failed.reason
    # The package file itself is not at fault.
    assert made.unreadable == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name != "docker"], ids=lambda kind: kind.name)
def test_a_file_that_the_disk_does_not_give_is_fetched_again(tmp_path: Path, kind: Kind) -> None:
    # A regular file, of which the system gives EIO.
    unreadable = Path(f"/proc/{os.getpid()}/mem")
    record = PackageFile("/f/1", "hello", "x", "1", kind.name, kind.arches[0], "/files/1", "hello", "0" * 64)
    plan = Plan(REPO, (), (Placement(record, "dev/hello"),), (), (), (), {}, {}, {})
    material = Material(tmp_path, tmp_path, {record.sha256: unreadable}, {}, {}, {}, {})
    made = build_packages(plan, FORMATS[kind.name], None, material)
    assert [failure.reason for failure in made.failed] == [
        f"{unreadable} can't be read (Input/output error); it is fetched again"
    ]
    assert [placement.file for placement in made.changed] == [record]
    assert made.unreadable == []


def test_a_package_that_the_system_does_not_open_again_is_not_at_fault(tmp_path: Path) -> None:
    data = build_deb(Deb("hello", "1", "amd64", files=(("/opt/blob", os.urandom(512 * 1024)),)))
    sha256 = hashlib.sha256(data).hexdigest()
    staged = tmp_path / sha256
    staged.write_bytes(data)
    record = PackageFile("/f/1", "hello", "x", "1", "deb", "amd64", "/files/1", "hello", sha256)
    plan = Plan(REPO, (), (Placement(record, "dev/hello"),), (), (), (), {}, {}, {})
    material = Material(tmp_path, tmp_path, {sha256: staged}, {}, {}, {}, {})
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    try:
        # What hashes the file opens the last one.
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, before[1]))
        made = build_packages(plan, FORMATS["apt"], None, material)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert [failure.reason for failure in made.failed] == [
        "it can't be read (Too many open files); it is fetched again"
    ]
    assert made.unreadable == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_bytes_of_the_record_are_read(tmp_path: Path, kind: Kind) -> None:
    made = build(tmp_path, kind, is_staged=True, forged=False)
    assert not made.failed
    assert not made.unreadable
    assert len(made.fresh) == 1


@pytest.mark.parametrize(("kind", "is_published"), [("docker", False), ("pypi", True)])
def test_a_staged_file_that_is_not_published_itself_is_not_needed(
    tmp_path: Path, kind: str, is_published: bool
) -> None:
    made = build(tmp_path, next(known for known in KINDS if known.name == kind), is_staged=True, forged=False)
    [sha256] = made.fresh
    assert any(package.sha256 == sha256 for package in made.packages) is is_published
    # What is published leaves staging with all that was placed.
    assert [path.name for path in made.unneeded] == ([] if is_published else [sha256])


@pytest.mark.parametrize("is_held", [True, False])
def test_a_file_read_with_its_products_is_not_read_again(tmp_path: Path, is_held: bool) -> None:
    kind = next(kind for kind in KINDS if kind.name == "pypi")
    name, data = kind.build("hello", "1", "all", b"genuine")
    sha256, products = hashlib.sha256(data).hexdigest(), dict[str, bytes]()
    fragment = FORMATS["pypi"].read(tmp_path / name, products, data)
    staging = tmp_path / "staging"
    staging.mkdir()
    # What is read would be found to be of other bytes.
    (staging / sha256).write_bytes(b"not a wheel")
    record = PackageFile("/f/1", "hello", "x", "1", "python", "all", "/files/1", name, sha256)
    plan = Plan(REPO, (), (Placement(record, f"dev/packages/hello/{name}"),), (), (), (), {}, {}, {})
    material = Material(tmp_path, staging, {sha256: staging / sha256}, {}, {sha256: fragment}, {}, {})
    made = build_packages(plan, FORMATS["pypi"], None, replace(material, products=products) if is_held else material)
    [(digest, content)] = products.items()
    assert digest == hashlib.sha256(content).hexdigest()
    if is_held:
        assert ([entry.fragment for entry in made.entries], made.failed) == ([fragment], [])
        assert (staging / digest).read_bytes() == content
        assert {live.path.rpartition("/")[2]: live.sha256 for live in made.packages} == {
            name: sha256,
            f"{name}.metadata": digest,
        }
    else:
        assert [refusal.file for refusal in made.failed] == [record]
        # An index that names it would lead to a metadata file that is nowhere.
        assert (made.entries, made.packages) == ([], [])


def test_a_layer_that_stands_in_all_of_its_places_is_not_written_again(tmp_path: Path) -> None:
    base = (("base", b"base\n" * 1000),)
    staging = tmp_path / "staging"
    staging.mkdir()

    def make_images(*names: str, claims: dict[str, str]) -> Made:
        data = build_oci(Image("web", "1.0", (base, (("web", b"one\n"),))))
        sha256 = hashlib.sha256(data).hexdigest()
        (staging / sha256).write_bytes(data)
        records = [
            PackageFile(f"/f/{name}", name, "x", "1", "docker", "all", "/files/1", f"{name}_1.0.tar", sha256)
            for name in names
        ]
        fetch = tuple(Placement(record, f"dev/v2/{record.package}") for record in records)
        plan = Plan(REPO, (), fetch, (), (), (), {}, {}, {})
        return build_packages(
            plan, FORMATS["docker"], None, Material(tmp_path, staging, {sha256: staging / sha256}, {}, {}, {}, claims)
        )

    first = make_images("web", claims={})
    layers = {live.path: live.sha256 for live in first.packages}
    written = {path.name for path in staging.iterdir()}
    assert set(layers.values()) <= written
    for sha256 in layers.values():
        (staging / sha256).unlink(missing_ok=True)
    # Another name of the image stands nowhere yet, so that all is needed.
    both = make_images("web", "shop", claims=layers)
    assert {live.path.split("/")[2] for live in both.packages} == {"shop"}
    assert {live.sha256 for live in both.packages} <= {path.name for path in staging.iterdir()}
    for sha256 in layers.values():
        (staging / sha256).unlink(missing_ok=True)
    again = make_images("web", claims=layers)
    assert again.packages == []
    assert [entry.fragment for entry in again.entries] == [entry.fragment for entry in first.entries]
    blobs = {sha256 for path, sha256 in layers.items() if "/blobs/" in path}
    assert len(blobs) == 3
    assert blobs.isdisjoint(path.name for path in staging.iterdir())


def test_a_layer_that_new_images_share_is_written_once_where_it_stands_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = (("base", b"base\n" * 1000),)
    shared = hashlib.sha256(tar(base)).hexdigest()
    staging = tmp_path / "staging"
    staging.mkdir()
    # An earlier process had not flushed it when the power went.
    (staging / shared).write_bytes(b"")
    copied: list[str] = []
    copy = ProductWriter.copy

    def note(writer: ProductWriter, source: Readable) -> Written:
        written = copy(writer, source)
        copied.append(written.sha256)
        return written

    monkeypatch.setattr(ProductWriter, "copy", note)
    staged, fetch = {}, []
    for name in ("web", "shop/2", "shop/3"):
        data = build_oci(Image("web", "1.0", (base, (("own", name.encode()),))))
        sha256 = hashlib.sha256(data).hexdigest()
        staged[sha256] = staging / sha256
        staged[sha256].write_bytes(data)
        image, _, version = name.partition("/")
        record = PackageFile(f"/f/{name}", image, "x", version, "docker", "all", "/files/1", f"{image}.tar", sha256)
        fetch.append(Placement(record, f"dev/v2/{image}"))
    plan = Plan(REPO, (), tuple(fetch), (), (), (), {}, {}, {})
    standing = {f"dev/v2/web/blobs/sha256:{shared}": shared}
    made = build_packages(plan, FORMATS["docker"], None, Material(tmp_path, staging, staged, {}, {}, {}, standing))
    assert [live.path for live in made.packages if live.sha256 == shared] == [f"dev/v2/shop/blobs/sha256:{shared}"]
    assert copied.count(shared) == 1
    for live in made.packages:
        assert hashlib.sha256((staging / live.sha256).read_bytes()).hexdigest() == live.sha256


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name != "json"], ids=lambda kind: kind.name)
def test_what_nobody_at_the_mirror_can_mend_says_who_can(tmp_path: Path, kind: Kind) -> None:
    name, _ = kind.build("hello", "1", kind.arches[0], b"genuine")
    data = b"This is not a package."
    sha256 = hashlib.sha256(data).hexdigest()
    (tmp_path / sha256).write_bytes(data)
    record = PackageFile("/f/1", "hello", "x", "1", kind.name, kind.arches[0], "/files/1", name, sha256)
    plan = Plan(REPO, (), (Placement(record, f"dev/{name}"),), (), (), (), {}, {}, {})
    material = Material(tmp_path, tmp_path, {sha256: tmp_path / sha256}, {}, {}, {}, {})
    [refused] = build_packages(plan, FORMATS[kind.name], None, material).unreadable
    assert refused.reason.endswith("; its packager must correct it and upload a new version")


@pytest.mark.parametrize("name", ["x_1.udeb", "x_1"])
def test_what_no_packager_can_mend_does_not_send_to_one(name: str) -> None:
    with pytest.raises(Refused) as of_deb:
        check_file_name(name)
    with pytest.raises(Refused) as of_rpm:
        identify(Header(b"", 0, {SOURCE_PACKAGE: Item(INT32, 0, 0, 1)}))
    for refused in (of_deb, of_rpm):
        assert "packager" not in refusal_reason(refused.value)
