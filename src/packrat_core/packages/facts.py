"""The facts that a package file of any kind says of itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """Name, version (an rpm's is `[epoch:]version-release`) and architecture as given inside the file."""

    name: str
    version: str
    arch: str
