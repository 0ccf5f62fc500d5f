"""Keeps the tags of an image in the order of their versions, and what each leads to.

`change` makes the next ones of the last ones: only the tags that may lead elsewhere are looked at.
"""

from bisect import insort
from collections.abc import Collection, Container, Iterable, Mapping, Set
from dataclasses import dataclass, field

from packrat_agent.formats.docker.image_files import TagFiles
from packrat_agent.formats.docker.layout import LATEST
from packrat_agent.model.entries import Entry
from packrat_core.packages.image.versions import latest_of, version_order

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

    files: Mapping[str, TagFiles] = field(default_factory=dict)
    latest: str | None = None

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
        if self.latest is None or self.latest not in entries:
            return latest_of(entries)
        # It is higher than all others that stay.
        return latest_of([self.latest, *(tag for tag in touched if tag in entries)])


def _in_order(
    files: Mapping[str, TagFiles], known: Iterable[str], new: Set[str], uploaded: Container[str]
) -> dict[str, TagFiles]:
    order = [tag for tag in known if tag in files and tag not in new]
    if LATEST in files and LATEST not in uploaded:
        # One that is derived stands behind all versions.
        order = [tag for tag in order if tag != LATEST]
        return {tag: files[tag] for tag in (*_insert(order, new - {LATEST}), LATEST)}
    return {tag: files[tag] for tag in _insert(order, [tag for tag in new if tag in files])}


def _insert(order: list[str], new: Collection[str]) -> list[str]:
    if len(new) > _FEW:
        return sorted([*order, *new], key=version_order)
    for tag in new:
        insort(order, tag, key=version_order)
    return order
