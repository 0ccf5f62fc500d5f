"""Keeps the tags of an image in the order of their versions, and what each leads to.

`change` makes the next ones of the last ones: only the tags that may lead elsewhere are looked at.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Container, Iterable, Mapping, Reversible, Set
from dataclasses import dataclass, field

from packrat_agent.formats.docker.image_files import TagFiles
from packrat_agent.formats.docker.layout import LATEST
from packrat_agent.model.entries import Entry
from packrat_core.packages.image.versions import is_release, latest_of, version_order

_FEW = 64
"""Up to this number of new tags each is put into its place; more are faster sorted with all others."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of an image.

    Attributes:
        files: tag → what leads clients from it to its manifest, from low to high versions; then `latest` if it is
            derived.
        latest: the uploaded tag that `latest` stands for; None if there is none.
    """

    files: dict[str, TagFiles] = field(default_factory=dict)
    latest: str | None = None

    def place(self, tag: str) -> int:
        """Give the number of tags before one of them."""
        order = list(self.files)
        # One that is derived stands last.
        last = len(order) - 1
        return last if order[last] == tag else bisect_left(order, version_order(tag), 0, last, key=version_order)

    def change(self, image: str, entries: Mapping[str, Entry], touched: Collection[str]) -> tuple["Tags", set[str]]:
        """Make the next ones, and name the tags that came, left, or lead elsewhere.

        Args:
            image: The name of the image in the repository.
            entries: Tag → what is published under it, of all uploaded tags.
            touched: Those that may differ from what these were made from.
        """
        latest = self._find_latest(entries, touched)
        files, changed = dict(self.files), set[str]()
        # `latest` is derived only if nobody uploaded an image under that version.
        for tag in {*touched, LATEST}:
            entry = entries.get(tag)
            if entry is None and tag == LATEST and latest is not None:
                entry = entries[latest]
            if entry is None:
                if files.pop(tag, None) is not None:
                    changed.add(tag)
                continue
            known = files.get(tag)
            if known is None or known.archive != entry.file.sha256:
                files[tag] = TagFiles.of(image, tag, entry)
                changed.add(tag)
        new = {tag for tag in changed if tag not in self.files}
        if LATEST in touched:
            # It may be an uploaded one now, or no longer.
            new.add(LATEST)
        return Tags(_in_order(files, self.files, new, entries) if new else files, latest), changed

    def _find_latest(self, entries: Mapping[str, Entry], touched: Iterable[str]) -> str | None:
        latest = self.latest if self.latest in entries else self._find_release(entries)
        # It is higher than all others that stay.
        return latest_of([latest, *(tag for tag in touched if tag in entries)] if latest is not None else entries)

    def _find_release(self, entries: Container[str]) -> str | None:
        """Find the highest release that stays; None if there is none."""
        return next((tag for tag in reversed(self.files) if tag in entries and is_release(tag)), None)


def _in_order(
    files: dict[str, TagFiles], known: Reversible[str], new: Set[str], uploaded: Container[str]
) -> dict[str, TagFiles]:
    """Put new tags into their places.

    Args:
        files: All of them, those that are known in their order.
        known: The tags of before, in their order.
        new: Those that have no place yet.
        uploaded: The tags that were uploaded.
    """
    # One that is derived stands behind all versions.
    derived = {LATEST} if LATEST in files and LATEST not in uploaded else frozenset[str]()
    elsewhere = new | derived
    coming = sorted((tag for tag in new - derived if tag in files), key=version_order)
    highest = next((tag for tag in reversed(known) if tag in files and tag not in elsewhere), None)
    if not coming or highest is None or version_order(highest) < version_order(coming[0]):
        # True of most new versions: nothing else moves.
        for tag in (*coming, *derived):
            files[tag] = files.pop(tag)
        return files
    order = [tag for tag in known if tag in files and tag not in elsewhere]
    if len(coming) > _FEW:
        order = sorted([*order, *coming], key=version_order)
    else:
        for tag in coming:
            insort(order, tag, key=version_order)
    return {tag: files[tag] for tag in (*order, *derived)}
