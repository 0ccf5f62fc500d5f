"""What the reader makes of image archives of all kinds, of hostile ones, and of any bytes."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.formats.docker.unpack import judge_image, unpack_image
from packrat_agent.model.entries import Fragment
from packrat_core.errors import Refused
from packrat_demo.build_image import Image, build_classic, build_oci, tar

BASE = (("base", b"base\n"),)
WEB = Image("web", "1.0", (BASE, (("web", b"one\n"),), BASE))
MULTI = [Image("web", "1.0", (BASE, ((a, a.encode()),)), a) for a in ("amd64", "arm64")]


def read(data: bytes, into: Path) -> Fragment:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return unpack_image(Path(file.name), into)


def top(fragment: Fragment) -> tuple[str, dict[str, object]]:
    line, _, manifest = fragment.body.partition(b"\n")
    return line.decode().split(" ")[0], json.loads(manifest)


def files(archive: bytes) -> list[tuple[str, bytes | str]]:
    found: list[tuple[str, bytes | str]] = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened:
            file = opened.extractfile(member) if member.isreg() else None
            found.append((member.name, file.read() if file is not None else member.linkname))
    return found


def change(archive: bytes, **changes: bytes | None) -> bytes:
    """The archive with a file replaced or left out; `__` in names stands for a dot."""
    named = {name.replace("__", "."): data for name, data in changes.items()}
    kept = [(name, named.get(name, data)) for name, data in files(archive)]
    return tar([(name, data) for name, data in kept if data is not None])


def assert_products_are_there(fragment: Fragment, into: Path) -> None:
    assert fragment.products
    for product in fragment.products:
        data = (into / product.sha256).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (product.size, product.sha256)
    assert {path.name for path in into.iterdir()} == {product.sha256 for product in fragment.products}


def test_a_classic_archive_becomes_schema_2_with_each_layer_compressed_once(tmp_path: Path) -> None:
    fragment = read(build_classic(WEB), tmp_path)
    assert_products_are_there(fragment, tmp_path)
    name, manifest = top(fragment)
    assert name.endswith(".dkrm")
    layers = manifest["layers"]
    assert isinstance(layers, list)
    assert layers[0] == layers[2] != layers[1]
    data = gzip.decompress((tmp_path / layers[0]["digest"][7:]).read_bytes())
    assert data == tar(BASE)
    assert fragment.arch == "amd64"
    again = tmp_path / "again"
    again.mkdir()
    assert read(build_classic(WEB), again) == fragment


def test_an_oci_layout_keeps_its_manifests_and_digests(tmp_path: Path) -> None:
    archive = build_oci(WEB)
    index = json.loads(dict(files(archive))["index.json"])
    fragment = read(archive, tmp_path)
    assert_products_are_there(fragment, tmp_path)
    assert top(fragment)[0] == f"{index['manifests'][0]['digest']}.ocim"


def test_an_image_is_judged_as_it_is_unpacked_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "web_1.0.tar"
    path.write_bytes(build_oci(WEB))
    assert judge_image(path).products == ()
    data = build_oci(WEB)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(Refused) as judged:
        judge_image(path)
    with pytest.raises(Refused) as unpacked:
        unpack_image(path, tmp_path)
    assert str(judged.value) == str(unpacked.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("build", [build_classic, build_oci])
def test_what_a_crash_left_under_the_name_of_a_product_is_written_again(
    tmp_path: Path, build: Callable[[Image], bytes]
) -> None:
    """A loss of power may leave a name without the bytes."""
    for product in read(build(WEB), tmp_path).products:
        (tmp_path / product.sha256).write_bytes(b"")
    assert_products_are_there(read(build(WEB), tmp_path), tmp_path)


def test_an_index_comes_with_its_images(tmp_path: Path) -> None:
    fragment = read(build_oci(*MULTI), tmp_path)
    assert_products_are_there(fragment, tmp_path)
    assert top(fragment)[0].endswith(".ocii")
    assert len(fragment.body.split(b"\n")[0].split(b" ")) == 3
    assert fragment.arch == "amd64,arm64"


def test_images_that_are_not_in_the_archive_are_left_out_of_the_index(tmp_path: Path) -> None:
    """Docker saves what it pulled, with the index of all platforms."""
    archive = build_oci(*MULTI)
    only_arm = {name for name, _ in files(build_oci(MULTI[1]))} | {"index.json"}
    amd = {name for name, _ in files(build_oci(MULTI[0]))} - only_arm
    fragment = read(tar([(name, data) for name, data in files(archive) if name not in amd]), tmp_path)
    assert_products_are_there(fragment, tmp_path)
    manifests = top(fragment)[1]["manifests"]
    assert isinstance(manifests, list)
    assert [manifest["platform"]["architecture"] for manifest in manifests] == ["arm64"]


def test_an_index_json_may_itself_be_the_index(tmp_path: Path) -> None:
    archive = build_oci(*MULTI)
    found = dict(files(archive))
    inner = json.loads(found["index.json"])["manifests"][0]["digest"]
    fragment = read(change(archive, index__json=found[f"blobs/sha256/{inner[7:]}"]), tmp_path)  # type: ignore[arg-type]
    assert top(fragment)[0] == f"{inner}.ocii"


@pytest.mark.parametrize("index", [None, b"", b"{", b"[]", b'{"manifests": 7}', b'{"manifests": []}', b"[" * 100_000])
def test_a_missing_or_broken_index_is_made_up_for_by_manifest_json(tmp_path: Path, index: bytes | None) -> None:
    fragment = read(change(build_oci(WEB), index__json=index), tmp_path)
    assert_products_are_there(fragment, tmp_path)
    assert top(fragment)[0].endswith(".dkrm")


def test_repo_tags_may_say_anything(tmp_path: Path) -> None:
    archive = build_classic(WEB)
    listed = json.loads(dict(files(archive))["manifest.json"])
    for tags in (None, [], ["registry.example.com/x/y:z"], 7):
        listed[0]["RepoTags"] = tags
        read(change(archive, manifest__json=json.dumps(listed).encode()), tmp_path)


def entry(kind: bytes, name: str = "x", target: str = "") -> bytes:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (entry(tarfile.REGTYPE, "../x"), "leads out"),
        (entry(tarfile.REGTYPE, "a/../../x"), "leads out"),
        (entry(tarfile.REGTYPE, "/etc/passwd"), "absolute"),
        (entry(tarfile.SYMTYPE, "x", "/etc/passwd"), "absolute"),
        (entry(tarfile.SYMTYPE, "a/x", "../../y"), "leads out"),
        (entry(tarfile.LNKTYPE, "x", "../y"), "leads out"),
        (entry(tarfile.CHRTYPE), "character device"),
        (entry(tarfile.BLKTYPE), "block device"),
        (entry(tarfile.FIFOTYPE), "named pipe"),
        (entry(tarfile.GNUTYPE_SPARSE), "unknown kind"),
        (entry(tarfile.REGTYPE, "manifest.json"), "two members"),
    ],
)
def test_hostile_members_are_refused_by_name(tmp_path: Path, extra: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        read(extra + build_classic(WEB), tmp_path)
    assert not list(tmp_path.iterdir())


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="circle"):
        read(tar([("manifest.json", "other"), ("other", "manifest.json")]), tmp_path)


def test_a_forged_blob_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    layer = hashlib.sha256(tar(BASE)).hexdigest()
    with pytest.raises(Refused, match="are not those"):
        read(change(build_oci(WEB), **{f"blobs/sha256/{layer}": b"other bytes"}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_several_images_in_one_archive_are_refused(tmp_path: Path) -> None:
    one, other = (files(build_classic(Image("web", version))) for version in ("1.0", "2.0"))
    both = json.loads(dict(one)["manifest.json"]) + json.loads(dict(other)["manifest.json"])
    merged = {**dict(one), **dict(other), "manifest.json": json.dumps(both).encode()}
    with pytest.raises(Refused, match="names 2 images"):
        read(tar(list(merged.items())), tmp_path)


def test_an_index_that_is_named_a_thousand_times_is_read_once(tmp_path: Path) -> None:
    """Indexes of the same index, four deep: a thousand to the fourth."""
    blobs: dict[str, bytes | str] = dict(files(build_oci(WEB)))
    child = json.loads(blobs["index.json"])["manifests"][0]
    media_type = "application/vnd.oci.image.index.v1+json"
    for _ in range(4):
        record = {"schemaVersion": 2, "mediaType": media_type, "manifests": [child] * 1000}
        index = json.dumps(record).encode()
        digest = hashlib.sha256(index).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = index
        child = {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(index)}
    blobs["index.json"] = json.dumps({"manifests": [child]}).encode()
    assert_products_are_there(read(tar(list(blobs.items())), tmp_path), tmp_path)


def test_a_layer_under_a_thousand_names_is_compressed_once(tmp_path: Path) -> None:
    layer = tar((("zeros", bytes(4 * 2**20)),))
    names = [f"layer{number}" for number in range(1000)]
    config = json.dumps({"rootfs": {"diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"] * 1000}}).encode()
    listed = json.dumps([{"Config": "c", "Layers": names}]).encode()
    links: list[tuple[str, bytes | str]] = [(name, names[0]) for name in names[1:]]
    fragment = read(tar([("c", config), ("manifest.json", listed), (names[0], layer), *links]), tmp_path)
    assert len(fragment.products) == 4


def test_a_layer_may_be_a_link_into_the_directory_of_another(tmp_path: Path) -> None:
    """So docker saves a layer that occurs twice."""
    layer = tar(BASE)
    config = json.dumps({"rootfs": {"diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"] * 2}}).encode()
    listed = json.dumps([{"Config": "c", "Layers": ["a/layer.tar", "b/layer.tar"]}]).encode()
    archive = tar([("c", config), ("manifest.json", listed), ("b/layer.tar", "../a/layer.tar"), ("a/layer.tar", layer)])
    assert_products_are_there(read(archive, tmp_path), tmp_path)


@pytest.mark.parametrize("limit", [512, 1024, -1024, -2048, -5000])
def test_a_torn_archive_is_refused(tmp_path: Path, limit: int) -> None:
    whole = build_classic(WEB).rstrip(b"\0")
    with pytest.raises(Refused):
        read(whole[:limit], tmp_path)
    assert not list(tmp_path.iterdir())


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=4096))
def test_any_bytes_are_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as into, pytest.raises(Refused):
        read(data, Path(into))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([build_classic(WEB), build_oci(WEB), build_oci(*MULTI)]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=40)), max_size=6),
)
def test_a_changed_archive_is_read_or_refused_and_what_is_read_is_true(
    archive: bytes, changes: list[tuple[float, bytes]]
) -> None:
    data = bytearray(archive)
    for where, what in changes:
        at = int(where * len(data))
        data[at : at + len(what)] = what
    with tempfile.TemporaryDirectory() as into:
        try:
            fragment = read(bytes(data), Path(into))
        except Refused:
            assert not list(Path(into).iterdir())
        else:
            assert_products_are_there(fragment, Path(into))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(f"sha256:{'0' * 64}"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "manifests",
                    "digest",
                    "size",
                    "mediaType",
                    "annotations",
                    "Config",
                    "Layers",
                    "config",
                    "layers",
                    "rootfs",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(_JSON, _JSON)
def test_any_json_in_the_right_places_is_refused(index: object, classic: object) -> None:
    members: list[tuple[str, bytes | str]] = [
        ("index.json", json.dumps(index).encode()),
        ("manifest.json", json.dumps(classic).encode()),
        ("oci-layout", b"{}"),
    ]
    with tempfile.TemporaryDirectory() as into, pytest.raises(Refused):
        read(tar(members), Path(into))


def test_a_layer_is_streamed(tmp_path: Path) -> None:
    """A layer far larger than what may be in memory at a time; measured in a process of its own."""
    import subprocess
    import sys

    big = tmp_path / "big.tar"
    size = 300 * 1024 * 1024
    config = json.dumps({"rootfs": {"diff_ids": [f"sha256:{_zeros(size)}"]}}).encode()
    listed = json.dumps([{"Config": "c", "Layers": ["layer"]}]).encode()
    with big.open("wb") as file:
        file.write(tar([("c", config), ("manifest.json", listed)]).rstrip(b"\0"))
        file.truncate((file.tell() + 511) // 512 * 512)
        file.seek(0, os.SEEK_END)
        header = tarfile.TarInfo("layer")
        header.size = size
        file.write(header.tobuf())
        file.truncate(file.tell() + size + 1024)
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from packrat_agent.formats.docker.unpack import unpack_image\n"
        "resource.setrlimit(resource.RLIMIT_AS, (250 * 2**20, 250 * 2**20))\n"
        "unpack_image(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    into = tmp_path / "into"
    into.mkdir()
    subprocess.run([sys.executable, "-c", script, str(big), str(into)], check=True, timeout=120)
    big.unlink()


def _zeros(size: int) -> str:
    digest = hashlib.sha256()
    for _ in range(size // 2**20):
        digest.update(bytes(2**20))
    return digest.hexdigest()
