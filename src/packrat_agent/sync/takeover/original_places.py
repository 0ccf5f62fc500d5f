"""The layout of the original packrat agent's tree: where its package files stand, and which indexes keep their paths.

- apt: `pool/<first six characters of the file's name before its first _>/<file>`
- yum: `<distro>/main/<version>/<architecture>/<file>`, `noarch` for the server's `all`
- pypi: `packages/<first six characters of the file's name before its first ->/<file>`
- docker: `cache/<first six characters of the file's name before its first _>/<file>`
- json: `<file's name before its first _>/<file>`

All paths here are relative to the repository's directory.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from packrat_agent.formats.interface import REPOSITORY
from packrat_agent.formats.pypi.former_place import former_place
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.state.original import OriginalFile
from packrat_core.fs.open import read_regular

_RELEASE_LIMIT = 1 << 20
_PACKAGES_LIMIT = 1 << 29
_FILENAME = b"Filename: "
_SIGNED: Mapping[str, tuple[str, str, str]] = {
    "apt": ("dists/{version}", "Release", "Release.gpg"),
    "yum": ("{distro}/main/{version}/repodata", "repomd.xml", "repomd.xml.asc"),
}
_CLIENT_NAMES = frozenset({"Origin", "Label", "Codename"})
_ARCHITECTURES = frozenset({"amd64", "i386"})
_DOUBLE_ENDINGS = (".tar.gz", ".tar.bz2", ".tar.xz", "img.gz", "img.bz2", "img.xz")

_PACKAGES: Mapping[str, re.Pattern[str]] = {
    "apt": re.compile(r"pool/[^/]+/[^/]+\.d?deb"),
    "yum": re.compile(r"[^/]+/main/[^/]+/[^/]+/[^/]+\.rpm"),
    "pypi": re.compile(r"packages/[^/]+/[^/]+\.(whl|tar\.gz|zip)"),
    "docker": re.compile(r"cache/[^/]+/[^/]+\.tar"),
    "json": re.compile(r"(?!_repo_main/)[^/]+/[^/]+"),
}

_KEPT_INDEXES: Mapping[str, re.Pattern[str]] = {
    "apt": re.compile(r"dists/[^/]+/(Release|Release\.gpg|main/binary-(amd64|i386)/(Packages|Release))"),
    "yum": re.compile(r"[^/]+/main/[^/]+/repodata/repomd\.xml(\.asc)?"),
    "docker": re.compile(r"v2/(_catalog|[^/]+/(tags/list|manifests/[^/]+))"),
    "json": re.compile(r"_repo_main/MANIFEST_all\.json(\.gpg)?"),
}


def original_place(kind: str, file: OriginalFile) -> str | None:
    """Give the path of a package file in the original agent's tree; None for a type that it didn't have."""
    name = file.file_name
    before = name.partition("_")[0][:6]
    match kind:
        case "apt":
            return f"pool/{before}/{name}"
        case "yum":
            arch = "noarch" if file.arch == "all" else file.arch
            return f"{file.distro}/main/{file.distro_version}/{arch}/{name}"
        case "pypi":
            return former_place(name)
        case "docker":
            return f"cache/{before}/{name}"
        case "json":
            return f"{_json_package(name)}/{name}"
    return None


def _json_package(name: str) -> str:
    stem = name.rsplit(".", 2 if name.endswith(_DOUBLE_ENDINGS) else 1)[0]
    package, _, version = stem.partition("_")
    return package if version and "_" not in version else stem


def is_package(kind: str, path: str) -> bool:
    """Tell whether a package file of the original agent may stand at a path."""
    pattern = _PACKAGES.get(kind)
    return pattern is not None and pattern.fullmatch(path) is not None


def keeps_path(kind: str, path: str) -> bool:
    """Tell whether an index of the original agent at this path is one that ours replaces in its place, or withdraws."""
    pattern = _KEPT_INDEXES.get(kind)
    return pattern is not None and pattern.fullmatch(path) is not None


def read_filenames(root: Path, suite: str, files: Collection[str]) -> frozenset[str] | None:
    """Read which package files the indexes of a suite name, relative to the repository; None where there are none.

    Args:
        root: root_dir.
        suite: the directory of the suite, relative to `root`.
        files: the paths of the regular files below `root`.
    """
    named: set[str] = set()
    indexes = [f"{suite}/main/binary-{name}/Packages" for name in sorted(_ARCHITECTURES)]
    present = [index for index in indexes if index in files]
    for index in present:
        try:
            content = read_regular(root / index, _PACKAGES_LIMIT)
        except OSError:
            return None
        lines = (line for line in content.split(b"\n") if line.startswith(_FILENAME))
        named.update(line.removeprefix(_FILENAME).decode("utf-8", "replace").strip() for line in lines)
    return frozenset(named) if present else None


def signed_indexes(repo: Repo) -> list[tuple[str, str]]:
    """List the signed indexes of a repository, with their signatures, relative to `root_dir`."""
    if repo.kind not in _SIGNED:
        return []
    top, index, signature = _SIGNED[repo.kind]
    found = []
    for version in repo.distro_versions:
        place = top.format(distro=version.distro, version=version.version or version.name)
        found.append((path_in_root(repo, f"{place}/{index}"), path_in_root(repo, f"{place}/{signature}")))
    return found


def read_suite(root: Path, repo: Repo, suite: str, files: Collection[str]) -> dict[str, str]:
    """Read from a suite on disk what its clients hold it to: Origin, Label, Codename, and its Architectures.

    Args:
        root: root_dir.
        repo: the repository.
        suite: the directory of the suite, relative to `root`; what stands there can hold a publication up, no more.
        files: the paths of the regular files below `root`.

    Returns:
        The facts to begin with; none where there is no Release.
    """
    if f"{suite}/Release" not in files:
        return {}
    try:
        lines = read_regular(root / suite / "Release", _RELEASE_LIMIT).decode("utf-8").splitlines()
    except (OSError, UnicodeError):
        return {}
    facts = _client_names(repo, lines)
    kept = [name for name in sorted(_ARCHITECTURES) if f"{suite}/main/binary-{name}/Packages" in files]
    return {**facts, "Architectures": " ".join(kept)} if kept else facts


def read_own_suite(root: Path, repo: Repo, suite: str) -> dict[str, str]:
    """Read the same from a suite that this agent published; without its Architectures, which follow from its packages.

    Args:
        root: root_dir.
        repo: the repository.
        suite: the directory of the suite, relative to `root`.
    """
    try:
        lines = read_regular(root / suite / "Release", _RELEASE_LIMIT).decode("utf-8").splitlines()
    except (OSError, UnicodeError):
        return {}
    return _client_names(repo, lines)


def _client_names(repo: Repo, lines: Sequence[str]) -> dict[str, str]:
    named = {REPOSITORY: repo.name} if f"{REPOSITORY}: {repo.name}" in lines else {}
    fields = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith(" "))
    return {name: value.strip() for name, value in fields.items() if name in _CLIENT_NAMES and value.strip()} | named
