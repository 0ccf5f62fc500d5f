"""Tells which repositories have signatures where there is a key: those of Python packages never have."""

from packrat_agent.formats.interface import RenderSettings
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import Repo


def has_signatures(repo: Repo, public_url: str | None) -> bool:
    """Tell whether a repository is signed where there is a key; `public_url` is in the signatures of images."""
    kind = FORMATS.get(repo.kind)
    return (
        kind is not None and kind.signed_part(repo, RenderSettings("", signed=True, public_url=public_url)) is not None
    )
