"""What a package file says of itself, whatever its kind."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """Name, version (an rpm's as `[epoch:]version-release`) and architecture as they stand inside the file."""

    name: str
    version: str
    arch: str
