"""A package file that is cut off or has other bytes is refused as Damaged wherever the reason calls it damaged."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from packrat_core.errors import Damaged, Refused
from packrat_core.packages.deb.control import read_control
from packrat_core.packages.deb.payload import check_payload as check_deb_payload
from packrat_core.packages.file.payload import check_payload as check_file
from packrat_core.packages.image.payload import check_payload as check_image
from packrat_core.packages.parts import naming
from packrat_core.packages.python.payload import check_payload as check_python
from packrat_core.packages.rpm.contents import check_contents
from packrat_core.packages.rpm.payload import check_payload as check_rpm
from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.build_image import Image, build_oci
from packrat_demo.build_rpm import Rpm, build_rpm
from packrat_demo.build_wheel import Python, build_sdist, build_wheel

Check = Callable[[BinaryIO], None]


def check_deb(file: BinaryIO) -> None:
    read_control(Path(file.name))
    check_deb_payload(file)


SAMPLES: dict[str, tuple[Check, bytes]] = {
    "deb": (check_deb, build_deb(Deb("a", "1", "all"))),
    "rpm": (check_rpm, build_rpm(Rpm("a", "1", "noarch"))),
    "contents of an rpm": (check_contents, build_rpm(Rpm("a", "1", "noarch", files=(("/a", b"data"),)))),
    "wheel": (check_python, build_wheel(Python("a", "1"))),
    "sdist": (check_python, build_sdist(Python("a", "1"))),
    "image": (check_image, build_oci(Image("a", "1"))),
    "tar": (partial(check_file, name="a.tar"), build_oci(Image("a", "1"))),
}


def refusal(check: Check, path: Path, data: bytes) -> Refused | None:
    path.write_bytes(data)
    try:
        with path.open("rb") as file:
            check(file)
    except Refused as error:
        return error
    return None


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_a_reason_calls_damaged_is_of_that_class(tmp_path: Path, kind: str) -> None:
    (check, whole), path = SAMPLES[kind], tmp_path / "file"
    assert refusal(check, path, whole) is None
    places = range(0, len(whole), len(whole) // 100 + 1)
    spoiled = [whole[:place] for place in places]
    spoiled += [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in places]
    found = [error for data in spoiled if (error := refusal(check, path, data)) is not None]
    assert [error for error in found if isinstance(error, Damaged) is not ("damaged" in str(error))] == []
    assert any(isinstance(error, Damaged) for error in found)


def test_a_part_that_is_damaged_makes_the_whole_so() -> None:
    with pytest.raises(Damaged, match=r"^its data archive is damaged: it ends early$"), naming("its data archive"):
        raise Damaged("it is damaged: it ends early")
    with pytest.raises(Refused, match=r"^its data archive: too large$") as found, naming("its data archive"):
        raise Refused("too large")
    assert type(found.value) is Refused
    with pytest.raises(Refused) as hinted, naming("its data archive"):
        raise Refused("too large", hint="split it")
    assert (hinted.value.message, hinted.value.hint) == ("its data archive: too large", "split it")
