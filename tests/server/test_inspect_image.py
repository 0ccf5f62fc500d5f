"""The server and the agent judge image archives alike, and skopeo agrees where it has an opinion."""

import gzip
import subprocess
import tempfile
from pathlib import Path

import pytest
from backports import zstd

from packrat_agent.formats.docker.format import DockerFormat
from packrat_core.errors import Refused
from packrat_demo.build_image import Image, build_classic, build_oci, tar
from packrat_server.inspect_file import Unrecognized, inspect_file
from support.image_archives import LAYER, classic, oci
from support.odd_images import as_pzstd_writes, bad_images, misread_images, sound_images

TOOL_LIMIT_S = 120


def upload_refuses(path: Path, kind: str | None = None, name: str = "web_1.0.tar") -> str | None:
    """Why the server refuses an archive; None where it is taken as an image."""
    try:
        found = inspect_file(path, name, kind)
    except Unrecognized as error:
        return str(error)
    return None if found.type == "docker" else f"it is taken as {found.type}"


def agent_refuses(path: Path, into: Path) -> str | None:
    into.mkdir(exist_ok=True)
    try:
        DockerFormat().read(path, into)
    except Refused as error:
        assert not list(into.iterdir())
        return str(error)
    for product in into.iterdir():
        product.unlink()
    return None


def skopeo_refuses(path: Path, into: Path) -> bool:
    """Whether skopeo can copy it by none of its descriptions."""
    for source in (f"oci-archive:{path}", f"oci-archive:{path}:1.0", f"docker-archive:{path}"):
        command = ["skopeo", "--insecure-policy", "copy", "--all", source, f"dir:{into}"]
        done = subprocess.run(command, capture_output=True, check=False, timeout=TOOL_LIMIT_S, cwd=path.parent)
        if done.returncode == 0:
            return False
    return True


@pytest.mark.parametrize("name", sorted(bad_images()))
def test_a_bad_archive_is_refused_at_upload_for_the_reason_that_the_agent_has(tmp_path: Path, name: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(bad_images()[name])
    reason = agent_refuses(path, tmp_path / "into")
    assert reason is not None
    for kind in (None, "docker"):
        told = upload_refuses(path, kind)
        assert told is not None
        assert reason in told


def podman_takes(path: Path, store: Path) -> bool:
    # podman wants a short path for its state.
    with tempfile.TemporaryDirectory(prefix="podman-") as run:
        stores = ["--root", str(store), "--runroot", run, "--storage-driver", "vfs"]
        command = ["podman", *stores, "pull", "--quiet", f"oci-archive:{path}"]
        return not subprocess.run(command, capture_output=True, check=False, timeout=TOOL_LIMIT_S).returncode


def test_a_layer_of_pzstd_is_refused_as_podman_does_and_for_this_reason(tmp_path: Path) -> None:
    path = tmp_path / "web.tar"
    path.write_bytes(oci(zstd.compress(LAYER), "+zstd"))
    assert podman_takes(path, tmp_path / "store")
    path.write_bytes(oci(as_pzstd_writes(LAYER), "+zstd"))
    assert not podman_takes(path, tmp_path / "store")
    for archive in (oci(as_pzstd_writes(LAYER), "+zstd"), classic(as_pzstd_writes(LAYER))):
        path.write_bytes(archive)
        assert "is compressed by pzstd" in (upload_refuses(path) or "")


def test_images_that_clients_misread_are_refused_by_both(tmp_path: Path) -> None:
    path = tmp_path / "web.tar"
    for name, data in misread_images().items():
        path.write_bytes(data)
        reason = agent_refuses(path, tmp_path / "into")
        assert reason is not None, name
        assert reason in (upload_refuses(path) or ""), name
        source = f"oci-archive:{path}"
        # `inspect` reads the configuration, `copy` does not; what a manifest lacks only `copy` asks for.
        assert any(
            subprocess.run(
                ["skopeo", "--insecure-policy", *command], capture_output=True, check=False, timeout=TOOL_LIMIT_S
            ).returncode
            for command in (["inspect", source], ["copy", source, f"dir:{tmp_path / 'copy'}"])
        ), name


@pytest.mark.parametrize("name", sorted(sound_images()))
def test_a_sound_archive_is_taken_by_both(tmp_path: Path, name: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(sound_images()[name])
    assert agent_refuses(path, tmp_path / "into") is None
    assert upload_refuses(path) is None
    assert upload_refuses(path, "docker") is None


def test_skopeo_reads_what_is_taken_and_what_it_cannot_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "web.tar"
    unread = []
    for group in (bad_images(), sound_images()):
        for name, data in group.items():
            path.write_bytes(data)
            refused = skopeo_refuses(path, tmp_path / "copy")
            if refused:
                unread.append(name)
                assert upload_refuses(path) is not None, name
    assert not set(unread) & set(sound_images())
    assert len(unread) > 15


def test_a_stated_type_does_not_spare_a_file_the_check(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"no package at all")
    for kind in ("docker", "deb", "rpm", "python"):
        with pytest.raises(Unrecognized):
            inspect_file(path, "web_1.0.tar", kind)
    assert inspect_file(path, "web_1.0.tar", "tar").type == "tar"


@pytest.mark.parametrize(
    ("name", "image", "tag"),
    [
        ("web_1.0.tar", "web", "1.0"),
        ("my_app_1.0.tar", "my_app", "1.0"),
        ("my.app_v2.tar", "my.app", "v2"),
        ("my__app-x_1.0_rc1.tar", "my__app-x", "1.0_rc1"),
        ("web_stable.tar", "web", "stable"),
        ("my_app_stable.tar", "my_app", "stable"),
        ("my_app~stable_2.tar", "my_app", "stable_2"),
        ("oauth_2_proxy~7.4.tar", "oauth_2_proxy", "7.4"),
        (f"web_sha256-{'0' * 64}.sig.tar", "web", f"sha256-{'0' * 64}.sig"),
    ],
)
def test_name_and_tag_are_those_of_the_file_name(tmp_path: Path, name: str, image: str, tag: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(classic())
    found = inspect_file(path, name)
    assert (found.package, found.version, found.type) == (image, tag, "docker")


@pytest.mark.parametrize("name", ["Web_1.0.tar", "web-_1.0.tar", "web.tar", "_1.0.tar", "web_.1.tar", "web_1+2.tar"])
def test_names_that_registries_do_not_allow_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(classic())
    with pytest.raises(Unrecognized, match="give --package and --version"):
        inspect_file(path, name)


def test_a_tar_that_is_no_image_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    for files in ([("hello", b"hello")], [("manifest.json", b'{"name": "a web application"}'), ("index.html", b"")]):
        path.write_bytes(tar(files))
        assert inspect_file(path, "My_1.0.tar").type == "tar"


def test_a_torn_image_is_no_file_either(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    for whole in (build_classic(Image("web", "1.0")), build_oci(Image("web", "1.0"))):
        for cut in range(600, len(whole.rstrip(b"\0")), 700):
            path.write_bytes(whole[:cut])
            with pytest.raises(Unrecognized, match="damaged"):
                inspect_file(path, "web_1.0.tar")


def test_a_compressed_image_is_a_file_that_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(gzip.compress(classic())[:-4])
    with pytest.raises(Unrecognized, match="damaged"):
        inspect_file(path, "web_1.0.tar.gz")
    with pytest.raises(Unrecognized, match="unpack"):
        inspect_file(path, "web_1.0.tar.gz", "docker")
