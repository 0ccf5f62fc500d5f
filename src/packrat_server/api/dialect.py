"""Answers each client in the version of CInP that it speaks.

Client libraries in the field send one version and don't fall back to another, so the server takes each of VERSIONS.
They differ in a few names only:

- 0.9 as the original server writes it: `paramaters`, `not-allowed-methods`, "Required Paramater";
- 1.0: `not-allowed-verbs`; a model describes the fields of general queries, of which this server has none;
- 2.0: also `parameters`, "Required Parameter".

Usage:

    version = read_version(headers)  # "2.0"; None if the client names none of VERSIONS
    body = put_in_version(body, version)

Source: CInP 0.9, 1.0 and 2.0.
"""

from collections.abc import Mapping
from typing import Any

from packrat_server.api.description import CINP_VERSION

VERSIONS = (CINP_VERSION, "1.0", "2.0")

_MISSING = "Required Paramater"
_RENAMED: Mapping[str, Mapping[str, str]] = {
    "1.0": {"not-allowed-methods": "not-allowed-verbs"},
    "2.0": {"not-allowed-methods": "not-allowed-verbs", "paramaters": "parameters"},
}
"""Version → keys of a description, in 0.9 and in this version."""

_QUERIES: Mapping[str, Any] = {"query-filter-fields": [], "query-sort-fields": []}


def read_version(headers: Mapping[str, str]) -> str | None:
    """Return the version that a request names in its header (lower-case names); None if it is not one of VERSIONS."""
    version = headers.get("cinp-version")
    return version if version in VERSIONS else None


def describe_in(description: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Write a description, which is as in 0.9, as a version has it."""
    names = _RENAMED.get(version, {})
    described = {names.get(key, key): value for key, value in description.items()}
    if version != CINP_VERSION and "list-filters" in description:
        described |= _QUERIES
    return described


def explain_in(error: Any, version: str) -> Any:
    """Write the body of an error, which is as in 0.9, as a version has it."""
    if version != "2.0" or not isinstance(error, dict):
        return error
    return {name: "Required Parameter" if text == _MISSING else text for name, text in error.items()}
