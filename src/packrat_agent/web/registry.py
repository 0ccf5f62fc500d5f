"""Answers for the docker repositories below a directory as a registry does.

Source: OCI Distribution Specification 1.1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from packrat_agent.formats.docker.layout import HOST_CATALOG, has_signature_api
from packrat_agent.formats.docker.serving import EMPTY_REFERRERS, ERRORS
from packrat_agent.web.missing import is_missing
from packrat_core.packages.image.manifest import MANIFEST_TYPES, OCI_INDEX

_JSON = {"Content-Type": "application/json"}
_INDEX = {"Content-Type": OCI_INDEX}
_DIRECTORIES = r"(?P<directory>[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*){0,3})"
_IMAGE = r"(?P<image>[a-z0-9][a-z0-9._-]*)"
_DIGEST = r"sha256:[0-9a-f]{64}"
_MANIFEST = re.compile(rf"/v2/{_DIRECTORIES}/{_IMAGE}/manifests/(?P<ref>[A-Za-z0-9_][A-Za-z0-9._:-]*)")
_BLOB = re.compile(rf"/v2/{_DIRECTORIES}/{_IMAGE}/blobs/(?P<ref>{_DIGEST})")
_TAGS = re.compile(rf"/v2/{_DIRECTORIES}/{_IMAGE}/tags/list")
_REFERRERS = re.compile(rf"/v2/{_DIRECTORIES}/{_IMAGE}/referrers/(?P<ref>{_DIGEST})")
_CATALOG = re.compile(rf"/v2/{_DIRECTORIES}/_catalog")
_SIGNATURES = re.compile(rf"/extensions/v2/{_DIRECTORIES}/{_IMAGE}/signatures/(?P<ref>{_DIGEST})")


@dataclass(frozen=True, slots=True)
class RegistryAnswer:
    """An answer to send: the file at `path`, or `body` with `status`."""

    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)
    path: Path | None = None
    status: int = 200
    body: bytes = b""


def is_registry_path(raw: str) -> bool:
    """Tell whether a path belongs to the registry protocol, whatever files are there."""
    return raw.startswith(("/v2/", "/extensions/v2/"))


def answer_registry(root: Path, raw: str) -> RegistryAnswer:
    """Answer for `raw`, the path as it came; `root` has no links in it."""
    path = unquote(raw, errors="replace")
    if path == "/v2/":
        headers = {**_JSON, "Docker-Distribution-Api-Version": "registry/2.0"}
        if has_signature_api(root):
            headers["X-Registry-Supports-Signatures"] = "1"
        return RegistryAnswer(headers, body=b"{}")
    if match := _MANIFEST.fullmatch(path):
        return _manifest(root / match["directory"], match["image"], match["ref"])
    if match := _BLOB.fullmatch(path):
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": match["ref"]}
        file = _file(root / match["directory"], f"v2/{match['image']}/blobs/{match['ref']}")
        return RegistryAnswer(headers, file) if file is not None else _unknown("blob_unknown")
    # Nothing refers to most manifests; registries then answer with an empty index, and clients take 404 for a fault.
    if match := _REFERRERS.fullmatch(path):
        file = _file(root / match["directory"], f"v2/{match['image']}/referrers/{match['ref']}")
        return RegistryAnswer(_INDEX, file) if file is not None else RegistryAnswer(_INDEX, body=EMPTY_REFERRERS)
    found = _file(root, HOST_CATALOG) if path == f"/{HOST_CATALOG}" else None
    if match := _TAGS.fullmatch(path):
        found = _file(root / match["directory"], f"v2/{match['image']}/tags/list")
    elif match := _CATALOG.fullmatch(path):
        found = _file(root / match["directory"], "v2/_catalog")
    elif match := _SIGNATURES.fullmatch(path):
        found = _file(root / match["directory"], f"extensions/v2/{match['image']}/signatures/{match['ref']}")
        if found is None:
            return _unknown("manifest_unknown")
    return RegistryAnswer(path=found) if found is not None else _unknown("name_unknown")


def _manifest(repo: Path, image: str, ref: str) -> RegistryAnswer:
    refs = repo / "v2" / image / "_refs"
    try:
        # A tag is a link to the directory beside it that is called like the digest.
        directory = (refs / ref).resolve(strict=True)
    except RuntimeError:
        return _unknown("manifest_unknown")
    except OSError as error:
        if is_missing(error):
            return _unknown("manifest_unknown")
        raise
    if directory.parent == refs and re.fullmatch(_DIGEST, directory.name):
        for media_type, end in MANIFEST_TYPES.items():
            file = _file(directory, f"manifest.{end}")
            if file is not None:
                headers = {"Content-Type": media_type, "Docker-Content-Digest": directory.name}
                return RegistryAnswer(headers, file)
    return _unknown("manifest_unknown")


def _file(directory: Path, relative: str) -> Path | None:
    """Find a file; None if it is missing, or a link leads to it."""
    file = directory / relative
    try:
        return file if file.is_file() and file.resolve(strict=True) == file else None
    except RuntimeError:
        return None
    except OSError as error:
        if is_missing(error):
            return None
        raise


def _unknown(name: str) -> RegistryAnswer:
    return RegistryAnswer(status=404, body=ERRORS[name])
