"""The real containerd, with which Kubernetes and newer releases of docker pull, takes what is published."""

import http.server
import io
import json
import os
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from packrat_demo.build_image import Image
from support.docker_registry import docker_stage, put, served
from support.image_archives import MANIFEST, digest
from support.odd_images import bad_images, sound_images
from support.odd_layers import unpackable_layers
from support.stage import DEADLINE_S

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run containerd")

# Its layers are for those who have the key.
_ENCRYPTED = "an encrypted layer"
_SOUND = {name.replace(" ", "-"): data for name, data in sound_images().items() if name != _ENCRYPTED}


def ctr(directory: Path, *arguments: str) -> tuple[int, str]:
    """Run containerd's own client; gives its exit code, and what it says."""
    command = ["ctr", "--address", f"{directory}/socket", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return done.returncode, done.stdout + done.stderr


def pull(directory: Path, image: str) -> tuple[int, str]:
    return ctr(directory, "images", "pull", "--plain-http", "--snapshotter", "native", image)


@pytest.fixture
def containerd() -> Iterator[Path]:
    """A containerd that knows no layer yet: it doesn't unpack one twice. Gives its directory."""
    # Its socket wants a short path.
    with tempfile.TemporaryDirectory(prefix="ctd-", dir="/tmp", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        (directory / "config.toml").write_text(
            f'version = 2\nroot = "{name}/root"\nstate = "{name}/state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{name}/socket"\n'
        )
        log = directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(["containerd", "--config", f"{name}/config.toml"], stderr=subprocess.PIPE)
            assert process.stderr is not None
            for line in process.stderr:
                output.write(line)
                if b"successfully booted" in line:
                    break
        try:
            assert b"successfully booted" in log.read_bytes(), log.read_text()
            yield directory
        finally:
            process.terminate()
            process.communicate(timeout=DEADLINE_S)


@pytest.fixture(scope="module")
def mirror() -> Iterator[str]:
    """A mirror with every kind of sound image, as nginx serves it; gives what their names begin with."""
    with docker_stage(None) as lab:
        for name, data in _SOUND.items():
            put(lab, Image(name, "1.0"), data)
        lab.agent("sync")
        with served("nginx", lab) as registry:
            yield f"{registry.address}/docker-dev"


@pytest.mark.parametrize("name", sorted(_SOUND))
def test_containerd_unpacks_what_is_published(mirror: str, containerd: Path, name: str) -> None:
    code, told = pull(containerd, f"{mirror}/{name}:1.0")
    assert code == 0, told


@contextmanager
def registry_of(archive: bytes) -> Iterator[str]:
    """A registry that gives out an archive as it is, whatever we think of it; gives the name of its one image."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files = {digest(data): data for data in (opened.extractfile(member).read() for member in opened)}  # type: ignore[union-attr]
        top = json.loads(opened.extractfile("index.json").read())["manifests"][0]["digest"]  # type: ignore[union-attr]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(files, top)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}/web:1.0"
        finally:
            server.shutdown()


def _handler(files: Mapping[str, bytes], top: str) -> type[http.server.BaseHTTPRequestHandler]:
    class Answering(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            name = self.path.rpartition("/")[2]
            named = top if name == "1.0" else name
            data = files.get(named, b"")
            self.send_response(200 if data else 404)
            self.send_header("Content-Type", MANIFEST if "/manifests/" in self.path else "application/octet-stream")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Docker-Content-Digest", named)
            self.end_headers()
            if with_body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Answering


@pytest.mark.parametrize(
    "name",
    [
        "a gzip layer called uncompressed",
        "a zstd layer called uncompressed",
        "a layer without a type",
        *sorted(unpackable_layers()),
    ],
)
def test_containerd_refuses_layers_that_are_refused_at_upload_for_its_sake(containerd: Path, name: str) -> None:
    with registry_of(bad_images()[name]) as image:
        code, told = pull(containerd, image)
    assert code != 0, told
    assert "failed to extract layer" in told or "mismatched image rootfs" in told, told
    with registry_of(sound_images()["gzip layer"]) as image:
        code, told = pull(containerd, image)
    assert code == 0, told
