"""The part of createrepo_c that the yum format and its tests use."""

SHA256: int

class CreaterepoCError(Exception): ...

class Package:
    pkgId: str
    time_file: int
    time_build: int
    size_package: int

def package_from_rpm(
    filename: str,
    checksum_type: int = ...,
    location_href: str | None = ...,
    location_base: str | None = ...,
    changelog_limit: int = ...,
) -> Package: ...
def xml_dump(pkg: Package) -> tuple[str, str, str]: ...
def xml_parse_primary(
    path: str, newpkgcb: object = ..., pkgcb: object = ..., warningcb: object = ..., do_files: bool = ...
) -> None: ...
