"""Looks whether the web server really serves this tree at public_url, and with the headers that clients need."""

import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from packrat_agent.config.settings import AGENT_DIR, Config
from packrat_agent.formats.pypi.layout import HTML_PAGE, SIMPLE
from packrat_agent.setup.doctor.fetch import Answered, Unanswered, fetch
from packrat_agent.setup.doctor.findings import Finding, fault, ok, warning
from packrat_agent.status.reading import read_live_path
from packrat_agent.status.values import RepoStatus
from packrat_agent.web.mirror_site import site_of
from packrat_core.fs.open import read_regular
from packrat_core.packages.image.manifest import MANIFEST_TYPES

_JSON_INDEX = "application/vnd.pypi.simple.v1+json"
_SITE_FILE = "install what `packrat-agent site nginx` (or apache) prints, and restart the web server"
_SAMPLE_LIMIT = 64 << 20
_MANIFEST = "_repo_main/MANIFEST_all.json"
# For each type, what clients read first, and an index that is compressed on disk.
_SAMPLES = {
    "apt": ("dists/*/InRelease", "dists/*/Release", "dists/*/main/binary-*/Packages.gz"),
    "yum": ("*/main/*/repodata/repomd.xml", "*/main/*/repodata/*-primary.xml.gz"),
    "pypi": (f"{SIMPLE}/{HTML_PAGE}",),
    "json": (_MANIFEST,),
}
# The types whose uploads a browser might take for pages: the site file has rules for these.
_WITH_UPLOADS = ("apt", "pypi", "json")


def look_at_site(config: Config, repos: tuple[RepoStatus, ...]) -> Iterator[Finding]:
    """Ask for the landing page and for samples of each repository, and compare them with what is on disk."""
    mirror = config.mirror
    if mirror.public_url is None:
        hint = "set public_url in [mirror] to the address that clients use"
        yield warning("site", "public_url is not set, so nobody can check whether the tree is served", hint)
        return
    if not (mirror.root_dir / "index.html").is_file():
        # That there was no sync is a finding of its own.
        return
    unserved = list(_compare(mirror.public_url, mirror.root_dir, "index.html", "site"))
    if unserved:
        yield from unserved
        yield from _look_beside(config)
        return
    found = list(_look_at_secrets(mirror.public_url))
    for repo in repos:
        found += _look_at_repo(mirror.public_url, mirror.root_dir, repo)
        if repo.kind in _WITH_UPLOADS and (uploaded := _find_uploaded(config, repo)) is not None:
            found += _look_at_uploaded(f"{mirror.public_url}/{_in_url(uploaded)}", repo)
    yield from found
    if not found:
        yield ok("site", f"{mirror.public_url} serves {mirror.root_dir}, with the headers that clients need")


def _look_beside(config: Config) -> Iterator[Finding]:
    """Tell a web server that is wrong from an address that doesn't lead to it."""
    site = site_of(config.mirror)
    here = fetch(f"http://127.0.0.1:{site.port}/index.html", {"Host": site.host})
    page = _read(config.mirror.root_dir / "index.html")
    if isinstance(here, Answered) and here.body == page:
        text = f"this machine's own web server serves the tree as {site.host}, on port {site.port}"
        yield warning("site", text, f"look at the DNS of {site.host}, and at firewalls on the way to it")


def _compare(url: str, root: Path, path: str, topic: str) -> Iterator[Finding]:
    """Look whether a file comes as it is on disk, byte by byte: one that is behind is as bad as none."""
    at = f"{url}/{_in_url(path)}"
    expected = _read(root / path)
    answer = fetch(at, {"Accept-Encoding": "gzip"})
    # The agent may publish between the two reads, and remove what it published before.
    now = _read(root / path)
    if expected is None or now is None:
        return
    if isinstance(answer, Unanswered):
        hint = "see whether the web server runs, whether the address is right, and whether its name leads here"
        yield fault(topic, f"{at} can't be fetched: {answer.reason}", hint)
    elif answer.status == 403:
        yield fault(
            topic,
            f"{at}: the web server may not read it",
            f"`namei -l {shlex.quote(str(root / path))}`: each part needs `r` or `x`",
        )
    elif answer.status != 200:
        yield fault(
            topic,
            f"{at}: the web server answers {answer.status}",
            f"see whether it serves {root}; if not, {_SITE_FILE}",
        )
    elif "content-encoding" in answer.headers:
        text = f"{at} comes with Content-Encoding {answer.headers['content-encoding'][:40]!r}"
        yield fault(topic, f"{text}: clients unpack it once too often, or find another hash", _SITE_FILE)
    elif answer.body not in (expected, now):
        hint = f"see whether it serves {root}, and whether a cache stands in between"
        yield fault(topic, f"{at} is not what {root / path} holds", hint)
    elif not _may_be_cached(path) and "no-cache" not in answer.headers.get("cache-control", ""):
        text = f"{at} comes without `Cache-Control: no-cache`: a cache in between may hand out an old index"
        yield warning(topic, text, _SITE_FILE)


def _may_be_cached(path: str) -> bool:
    """Tell whether a file may come from a cache: one that is named by its hash never changes, the page hurts nobody."""
    return path == "index.html" or re.search(r"/[0-9a-f]{64}-", path) is not None


def _look_at_secrets(url: str) -> Iterator[Finding]:
    answer = fetch(f"{url}/{AGENT_DIR}/mark")
    if isinstance(answer, Answered) and answer.status == 200:
        yield fault("site", f"the web server shows the agent's own directory, {url}/{AGENT_DIR}/", _SITE_FILE)


def _look_at_repo(url: str, root: Path, repo: RepoStatus) -> Iterator[Finding]:
    top = root / repo.directory
    for pattern in _SAMPLES.get(repo.kind, ()):
        newest = max(top.glob(pattern), key=_mtime_ns, default=None)
        if newest is not None:
            yield from _compare(url, root, str(newest.relative_to(root)), repo.name)
    if repo.kind == "pypi":
        yield from _look_at_json_index(url, repo)
    if repo.kind == "docker":
        yield from _look_at_registry(url, root, repo)


def _find_uploaded(config: Config, repo: RepoStatus) -> str | None:
    """Name a file with the headers of uploads; what lies beside them, such as a file of somebody else, has none."""
    if repo.kind == "json":
        # No upload can have this name, and every such repository has it.
        return f"{repo.directory}/{_MANIFEST}"
    return read_live_path(config, repo.name)


def _look_at_uploaded(at: str, repo: RepoStatus) -> Iterator[Finding]:
    """Look whether browsers run nothing of an uploaded file; a site file of an earlier version doesn't say so."""
    answer = fetch(at, method="HEAD")
    if isinstance(answer, Unanswered) or answer.status != 200:
        return
    if "sandbox" not in answer.headers.get("content-security-policy", ""):
        text = f"{at} comes without `Content-Security-Policy: … sandbox`: a browser runs a page that somebody uploads"
        yield warning(repo.name, text, _SITE_FILE)


def _look_at_json_index(url: str, repo: RepoStatus) -> Iterator[Finding]:
    at = f"{url}/{quote(repo.directory)}/{SIMPLE}/"
    answer = fetch(at, {"Accept": _JSON_INDEX})
    if isinstance(answer, Answered) and answer.header("content-type") not in (_JSON_INDEX, "text/html"):
        text = f"{at} comes as {answer.header('content-type')[:60]!r}, which pip and uv refuse"
        yield fault(repo.name, text, _SITE_FILE)
    elif isinstance(answer, Answered) and answer.header("content-type") != _JSON_INDEX:
        text = f"{at} is not offered as JSON, so `uv --exclude-newer` and `pip --uploaded-prior-to` fail"
        yield warning(repo.name, text, _SITE_FILE)


def _look_at_registry(url: str, root: Path, repo: RepoStatus) -> Iterator[Finding]:
    """Ask for an image as a client of registries does, at the top of the host."""
    images = sorted((root / repo.directory / "v2").glob("*/tags/list"))
    if not images:
        return
    try:
        tag = str(json.loads(_read(images[0]) or b"")["tags"][0])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return
    name = f"{repo.directory}/{images[0].parent.parent.name}"
    parts = urlsplit(url)
    at = f"{parts.scheme}://{parts.netloc}/v2/{quote(name)}/manifests/{quote(tag)}"
    answer = fetch(at, {"Accept": ", ".join(sorted(MANIFEST_TYPES))})
    if isinstance(answer, Unanswered):
        yield fault(repo.name, f"{at} can't be fetched: {answer.reason}", _SITE_FILE)
    elif answer.status != 200:
        yield fault(repo.name, f"{at}: the web server answers {answer.status}, so no image can be pulled", _SITE_FILE)
    elif answer.header("content-type") not in MANIFEST_TYPES:
        text = f"{at} comes as {answer.header('content-type')[:60]!r}, which no client takes for a manifest"
        yield fault(repo.name, text, _SITE_FILE)
    elif not re.fullmatch(f"sha256:{hashlib.sha256(answer.body).hexdigest()}", answer.header("docker-content-digest")):
        text = f"{at} comes without its Docker-Content-Digest, which crane and kaniko need"
        yield warning(repo.name, text, _SITE_FILE)


def _in_url(path: str) -> str:
    """Write a path as in a URL, also that of a file that is not the mirror's and has a name in no encoding."""
    return quote(os.fsencode(path))


def _mtime_ns(path: Path) -> int:
    """Say when a file was last changed; 0 if it is gone, or a link that leads nowhere."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path) -> bytes | None:
    """Read a sample; None if it is gone by now, too large to compare, or not a regular file."""
    try:
        return read_regular(path.resolve(strict=True), _SAMPLE_LIMIT)
    except (OSError, RuntimeError):
        return None
