"""Where mirrors of the original packrat agent have Python packages; direct links of clients lead there."""

from array import array
from bisect import bisect_left

_PROJECT_BITS = 24
_PROJECT_MASK = (1 << _PROJECT_BITS) - 1
_PLACE_MASK = (1 << (64 - _PROJECT_BITS)) - 1


def former_place(file_name: str) -> str:
    """Give packages/<first six characters of the file's name before its first dash>/<file>."""
    return f"packages/{file_name.partition('-')[0][:6]}/{file_name}"


class FormerPlaces:
    """Tells whose files stood at a place; it may name another project beside them.

    There may be 100,000 files, so each takes the 8 bytes of a number: a part of the hash of its former place, and the
    number of its project. What was noted once stays.
    """

    def __init__(self) -> None:
        self._projects: list[str] = []
        self._numbers: dict[str, int] = {}
        self._noted = array("Q")
        # All of a repository are sorted at once, when somebody asks for the first.
        self._is_sorted = False

    def add(self, place: str, project: str) -> None:
        """Note that a file of a project stood at a place."""
        if project not in self._numbers:
            self._numbers[project] = len(self._projects)
            self._projects.append(project)
        number = _hash(place) << _PROJECT_BITS | self._numbers[project]
        if not self._is_sorted:
            self._noted.append(number)
        elif self._noted[(at := bisect_left(self._noted, number)) : at + 1] != array("Q", [number]):
            self._noted.insert(at, number)

    def projects_of(self, place: str) -> set[str]:
        """Name the projects whose files stood at a place."""
        if not self._is_sorted:
            self._noted, self._is_sorted = array("Q", sorted(set(self._noted))), True
        start = _hash(place) << _PROJECT_BITS
        low, high = (bisect_left(self._noted, at) for at in (start, start + (1 << _PROJECT_BITS)))
        return {self._projects[noted & _PROJECT_MASK] for noted in self._noted[low:high]}


def _hash(place: str) -> int:
    return hash(place) & _PLACE_MASK
