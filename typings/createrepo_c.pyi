"""The part of createrepo_c that the yum format uses."""

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
