"""A file that the system does not give: the client is not told that there is none, which would let it take another."""

import errno
import http.client
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from support.hung_disk import hung_disk
from support.site import Site

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize(("refusal", "status"), [(errno.EIO, 503), (errno.EACCES, 403), (errno.ENOENT, 404)])
def test_what_the_disk_says_decides_what_the_client_is_told(site: Site, refusal: int, status: int) -> None:
    place = site.root / "deb"
    place.mkdir()
    with hung_disk(place) as disk, capture_logs() as logged:
        disk.refusal = refusal
        assert site.ask("/deb/a.deb").status == status
        assert site.ask("/deb/a.deb", "HEAD").status == status
    assert [(line["event"], line["log_level"], line["path"]) for line in logged] == [
        ("unanswered", "warning", "/deb/a.deb")
    ] * (2 if status == 503 else 0)
    assert all("Input/output error" in line["reason"] for line in logged)


def test_without_a_free_descriptor_no_file_is_called_missing(site: Site) -> None:
    blobs = site.root / "docker-dev" / "v2" / "web" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / DIGEST).write_text("layer")
    paths = ("/apt-dev/pool/g++_1~2_amd64.deb", f"/v2/docker-dev/web/blobs/{DIGEST}", "/v2/docker-dev/web/blobs/x")
    command = [sys.executable, "-m", "packrat_agent.cli", "serve", "--root", str(site.root), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = process.stderr.readline().rpartition("http://")[2].partition("/")[0]
            # One connection, which has its descriptor already.
            with closing(http.client.HTTPConnection(address, timeout=60)) as client:
                assert ask(client, paths) == [200, 200, 404]
                taken = {int(name) for name in os.listdir(f"/proc/{process.pid}/fd")}
                _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
                resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (min(set(range(1000)) - taken), hard))
                assert ask(client, paths) == [503, 503, 404]
                resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (hard, hard))
                assert ask(client, paths) == [200, 200, 404]
        finally:
            process.terminate()


def ask(client: http.client.HTTPConnection, paths: Sequence[str]) -> list[int]:
    statuses = []
    for path in paths:
        client.request("GET", path)
        with client.getresponse() as response:
            response.read()
            statuses.append(response.status)
    return statuses
