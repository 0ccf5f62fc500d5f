"""Each format names the package file that a file belongs to, and nothing else belongs to one."""

import pytest

from packrat_agent.formats.table import FORMATS

HEX = "5a" * 32


@pytest.mark.parametrize(
    ("kind", "path", "owner"),
    [
        ("docker", f"extensions/v2/web/signatures/sha256:{HEX}", f"v2/web/manifests/sha256:{HEX}"),
        ("docker", f"sigstore/docker-dev/web@sha256={HEX}/signature-12", f"v2/web/manifests/sha256:{HEX}"),
        ("docker", f"sigstore/a/b-c/web@sha256={HEX}/signature-1", f"v2/web/manifests/sha256:{HEX}"),
        ("docker", f"sigstore/docker-dev/web@sha256={HEX}/signature-0", None),
        ("docker", f"sigstore/docker-dev/web@sha256={HEX}/other", None),
        ("docker", f"v2/web/manifests/sha256:{HEX}", None),
        ("docker", "sigstore/policy.json", None),
        ("docker", f"extensions/v2/../../x/signatures/sha256:{HEX}", None),
        ("pypi", "packages/web/web-1-py3-none-any.whl.metadata", "packages/web/web-1-py3-none-any.whl"),
        ("pypi", "packages/web/web-1-py3-none-any.whl", None),
        ("pypi", "simple/web/index.html.metadata", None),
        ("apt", "pool/web/web_1_all.deb", None),
        ("yum", "rhel/main/9/repodata/repomd.xml.asc", None),
        ("json", "web/web_1.json.metadata", None),
    ],
)
def test_a_path_belongs_to_the_package_file_that_its_type_says(kind: str, path: str, owner: str | None) -> None:
    assert FORMATS[kind].owner(path) == owner
