"""What `verify` knows of a published tree on its own is what formats write."""

import pytest

from packrat_agent.formats.docker.serving import EMPTY_REFERRERS, ERRORS
from packrat_agent.formats.json import layout as json_layout
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.paths import PAGE_DIR
from packrat_agent.site_page import package_list, page_style, site_files
from packrat_agent.verify import names
from packrat_agent.verify.tree import AUDITORS
from packrat_core.packages.image import names as docker_names


def test_the_names_are_those_that_formats_write() -> None:
    assert names.REGISTRY_ERRORS == ERRORS
    assert (names.SUMS, names.MANIFEST) == (json_layout.SUMS, json_layout.MANIFEST)
    assert names.SIGNED_SUMS == json_layout.SIGNED_SUMS
    assert (names.KEY_ARMORED, names.KEY_BINARY) == (site_files.KEY_ARMORED, site_files.KEY_BINARY)
    assert (names.LANDING_PAGE, names.LISTING_STYLE) == (site_files.LANDING_PAGE, page_style.LISTING_STYLE_PATH)
    assert (names.PAGE_DIR, names.PACKAGE_LIST) == (PAGE_DIR, package_list.DIRECTORY)
    assert names.NO_REFERRERS == EMPTY_REFERRERS
    assert (names.IMAGE, names.TAG) == (docker_names.IMAGE, docker_names.TAG)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_type_has_an_auditor(kind: str) -> None:
    assert kind in AUDITORS
