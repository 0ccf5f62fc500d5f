"""places: where a package file goes, and which have no place."""

from dataclasses import replace

import pytest

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.sync.planning.places import place_of, places_of
from packrat_core.errors import Refused

REPO = Repo("apt-dev", "", "apt-dev", "apt", (DistroVersion("bookworm", "debian", "12", "deb"),))
FORM = FORMATS["apt"]


def a_file(number: int) -> PackageFile:
    name = f"tool_{number}_all.deb"
    return PackageFile(f"/f/{number}", "toolbox", "bookworm", "1", "deb", "all", f"/files/{name}", name, "a" * 64)


def test_only_files_that_may_be_in_the_repository_have_places() -> None:
    files = [a_file(1), replace(a_file(2), kind="rpm"), a_file(3), a_file(4)]
    found = places_of(REPO, FORM, files, {"apt-dev/pool/toolbo/tool_3_all.deb"})
    assert found == {number.uri: f"apt-dev/pool/toolbo/{number.file_name}" for number in (files[0], files[3])}
    assert all(place_of(REPO, FORM, file, ()) == found[file.uri] for file in (files[0], files[3]))
    with pytest.raises(Refused, match="kept by keep_file"):
        place_of(REPO, FORM, files[2], {"apt-dev/pool"})
