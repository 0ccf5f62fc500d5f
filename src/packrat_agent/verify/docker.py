"""Audits a docker repository as registry clients use it: catalog → tags → manifests → configurations and layers.

The audit only reads the repository, and runs gpgv to verify signatures.

Source: OCI Distribution Specification 1.1.
"""

import json
import os
from collections.abc import Iterator, Mapping

from packrat_agent.verify.docker_files import read_json, strings_of
from packrat_agent.verify.docker_images import audit_image
from packrat_agent.verify.docker_policy import audit_policy
from packrat_agent.verify.docker_signatures import Signing
from packrat_agent.verify.findings import Fault, Finding, Subject, check_bytes, read_pointer
from packrat_agent.verify.names import IMAGE, NO_REFERRERS, OF_ALL_IMAGES, PAGE_DIR, REGISTRY_ANSWER, REGISTRY_ERRORS

_CATALOG, _SIGNATURES, _NO_REFERRERS = OF_ALL_IMAGES
_OF_HOST: Mapping[str, bytes | None] = {_CATALOG: None, _SIGNATURES: b"1\n", _NO_REFERRERS: NO_REFERRERS}
"""Files in v2/ at the top of a mirror → their content; None for the list of images."""


def audit_docker(subject: Subject, directory: str) -> Iterator[Finding]:
    """Audit the files that the repository has once, then each image."""
    found: list[Finding] = []
    path = f"{directory}/v2/_catalog"
    content, catalog = read_json(subject, path, found)
    images = strings_of(catalog, "repositories", IMAGE)
    if content is not None and images is not None:
        found += check_bytes(path, content, json.dumps({"repositories": sorted(set(images))}).encode() + b"\n")
    elif catalog is not None:
        found.append(Fault(path, "does not list images"))
    answers = {f"_errors/{name}.json": body for name, body in REGISTRY_ERRORS.items()} | {"index.html": REGISTRY_ANSWER}
    for name, body in answers.items():
        path = f"{directory}/v2/{name}"
        if read_pointer(subject, path, found) not in (None, body):
            found.append(Fault(path, "is not the answer that a registry gives"))
    _audit_host(subject, found)
    signing = Signing(audit_policy(subject, directory, found), _lists_signatures(subject, directory))
    yield from found
    # Clients can pull an image that the catalog does not name, so look for the directories, too.
    there = sorted(
        entry.name
        for entry in os.scandir(subject.top / directory / "v2")
        if os.path.lexists(f"{entry.path}/tags/list") or os.path.lexists(f"{entry.path}/manifests/.htaccess")
    )
    for name in there:
        if images is not None and name not in images:
            yield Fault(f"{directory}/v2/{name}", "has tags, but the catalog does not name this image")
    for name in images if images is not None else there:
        yield from audit_image(subject, directory, name, signing)


def _audit_host(subject: Subject, found: list[Finding]) -> None:
    """Audit those files that exist: a tree may be older than they are, or a copy of one repository.

    Args:
        subject: The tree under audit.
        found: Findings are appended to it.
    """
    for name, wanted in _OF_HOST.items():
        path = f"v2/{name}"
        if not os.path.lexists(subject.top / path):
            # Only old agents, which wrote no script for the landing page, left it out beside the catalog.
            if name == _NO_REFERRERS and all(os.path.lexists(subject.top / at) for at in (PAGE_DIR, f"v2/{_CATALOG}")):
                found.append(Fault(path, "is missing: Apache answers with it where nothing refers to an image"))
            continue
        if wanted is not None:
            content = read_pointer(subject, path, found)
            found += check_bytes(path, content, wanted) if content is not None else ()
            continue
        content, catalog = read_json(subject, path, found)
        images = strings_of(catalog, "repositories", f"{IMAGE}(?:/{IMAGE})*")
        if content is not None and images is not None:
            written = json.dumps({"repositories": sorted(set(images))}).encode() + b"\n"
            found += check_bytes(path, content, written)
        elif catalog is not None:
            found.append(Fault(path, "does not list images"))


def _lists_signatures(subject: Subject, directory: str) -> bool:
    """Return whether the registry hands out signatures, so that there must be a list of them for each manifest."""
    if os.path.lexists(subject.top / f"v2/{_SIGNATURES}"):
        return True
    return not os.path.lexists(subject.top / f"v2/{_CATALOG}") and os.path.lexists(
        subject.top / directory / "extensions/v2"
    )
