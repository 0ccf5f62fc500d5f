"""The fuzz targets by family; the targets of a family share what has to be set up for them."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from support.fuzz.agent import agent_targets
from support.fuzz.archives import archive_targets
from support.fuzz.audit import audit_targets
from support.fuzz.engine import Target
from support.fuzz.images import image_targets
from support.fuzz.packages import package_targets
from support.fuzz.server import server_targets
from support.fuzz.texts import text_targets

FAMILIES: Mapping[str, Callable[[Path], AbstractContextManager[list[Target]]]] = {
    "archives": archive_targets,
    "packages": package_targets,
    "images": image_targets,
    "texts": text_targets,
    "audit": audit_targets,
    "agent": agent_targets,
    "server": server_targets,
}
