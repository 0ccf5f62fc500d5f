"""Keys of manifests and configurations that clients take for others."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from packrat_core.errors import Refused
from packrat_core.packages.image.rules import check_config, check_manifest

INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG: Callable[[bytes], None] = check_config
MANIFEST: Callable[[bytes], None] = check_manifest


@pytest.mark.parametrize(
    ("check", "value", "name"),
    [
        (MANIFEST, {"mediaType": "x", "MediaType": INDEX}, "mediaType"),
        (MANIFEST, {"mediatype": INDEX}, "mediaType"),
        (MANIFEST, {"layers": [{"mediaType": "x", "mediatype": INDEX}]}, "mediaType"),
        (MANIFEST, {"artifacttype": "x"}, "artifactType"),
        (CONFIG, {"OS": "linux"}, "os"),
        (CONFIG, {"config": {"Cmd": ["sh"], "cmd": ["rm"]}}, "Cmd"),
        (CONFIG, {"config": {"cmd": ["rm"], "Cmd": None}}, "Cmd"),
        (CONFIG, {"config": {"CMD": ["sh"], "cmd": ["rm"]}}, "Cmd"),
        (CONFIG, {"config": {"Healthcheck": {"test": ["NONE"], "tesT": ["CMD"]}}}, "Test"),
    ],
)
def test_a_key_that_clients_take_for_another_one_is_refused(
    check: Callable[[bytes], None], value: dict[str, Any], name: str
) -> None:
    with pytest.raises(Refused, match=f"which clients take for '{name}'"):
        check(json.dumps(value).encode())


@pytest.mark.parametrize("settings", [{"cmd": "sh"}, {"EXPOSEDPORTS": ["80/tcp"]}, {"healthcheck": {"retries": "3"}}])
def test_settings_in_other_letters_have_the_types_that_clients_give_them(settings: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        check_config(json.dumps({"config": settings}).encode())


def test_keys_that_only_clients_read_may_have_another_case() -> None:
    settings: dict[str, Any] = {
        "cmd": ["sh"],
        "env": None,
        "volumes": {"/data": {}, "/Data": {}},
        "healthcheck": {"test": ["NONE"]},
    }
    check_config(json.dumps({"config": settings, "container_config": settings}).encode())
