"""How long caches may keep what the built-in web server sends."""

import pytest

from support.site import Site

_HASH = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "path",
    [
        "apt-dev/pool/h/hello_1_amd64.deb",
        "apt-dev/pool/h/g%2B%2B_1_amd64.ddeb",
        f"apt-dev/dists/dev/main/binary-amd64/by-hash/SHA256/{_HASH}",
        f"yum/fedora/40/repodata/{_HASH}-primary.xml.gz",
        "yum/fedora/40/generations/17/repodata/repomd.xml",
        "python/packages/one/one-1-py3-none-any.whl",
    ],
)
def test_caches_keep_what_never_changes(site: Site, path: str) -> None:
    (site.root / "python/simple").mkdir(parents=True)
    file = site.root / path.replace("%2B", "+")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    answer = site.ask(f"/{path}")
    assert (answer.status, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")


@pytest.mark.parametrize(
    "path",
    [
        "apt-dev/dists/dev/InRelease",
        f"apt-dev/by-hash/{_HASH}",
        "apt-dev/pool/h/index.html",
        "yum/fedora/40/repodata/repomd.xml",
        "python/simple/one/index.html",
        "files/packages/one/one.zip",
        "repo-key",
    ],
)
def test_caches_ask_again_for_what_may_change(site: Site, path: str) -> None:
    file = site.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x")
    for target in (f"/{path}", "/", "/apt-dev"):
        assert site.ask(target).headers["cache-control"] == "no-cache", target
    again = site.ask(f"/{path}", If_None_Match="*")
    assert (again.status, again.headers["cache-control"]) == (304, "no-cache")


def test_no_cache_remembers_that_a_file_was_missing(site: Site) -> None:
    for target in ("/apt-dev/pool/h/none_1_amd64.deb", f"/v2/docker/one/blobs/sha256:{_HASH}"):
        answer = site.ask(target)
        assert answer.status == 404
        assert "cache-control" not in answer.headers


def test_caches_keep_a_blob_and_ask_again_for_the_names_of_images(site: Site) -> None:
    blobs = site.root / "docker/v2/one/blobs"
    blobs.mkdir(parents=True)
    (blobs / f"sha256:{_HASH}").write_bytes(b"x")
    assert "immutable" in site.ask(f"/v2/docker/one/blobs/sha256:{_HASH}").headers["cache-control"]
    assert site.ask("/v2/").headers["cache-control"] == "no-cache"
