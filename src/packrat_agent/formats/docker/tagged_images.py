"""Keeps the package files of a repository's images by image and tag."""

from collections.abc import Collection, Iterable, Mapping, Set

import structlog

from packrat_agent.model.entries import Entry

log = structlog.get_logger()


class TaggedImages:
    """Chooses what each tag of each image names: of several package files, that of the newest record."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], tuple[Entry, ...]] = {}
        self._newest: dict[str, dict[str, Entry]] = {}

    def names(self) -> Collection[str]:
        """The names of all images."""
        return self._newest.keys()

    def tags(self, image: str) -> Mapping[str, Entry]:
        """Map the tags of an image to what they name."""
        return self._newest[image]

    def replace(self, gone: Iterable[Entry], new: Iterable[Entry]) -> Mapping[str, Set[str]]:
        """Take entries out, and put others in; maps the images that this touches to their tags that it touches."""
        touched: set[tuple[str, str]] = set()
        for entry in gone:
            key = (entry.file.package, entry.file.version)
            touched.add(key)
            self._records[key] = tuple(other for other in self._records[key] if other.file.uri != entry.file.uri)
        for entry in new:
            key = (entry.file.package, entry.file.version)
            touched.add(key)
            self._records[key] = (*self._records.get(key, ()), entry)
        of_images: dict[str, set[str]] = {}
        for image, tag in touched:
            self._choose(image, tag)
            of_images.setdefault(image, set()).add(tag)
        return of_images

    def _choose(self, image: str, tag: str) -> None:
        records = self._records[image, tag]
        tags = self._newest.setdefault(image, {})
        if records:
            tags[tag] = max(records, key=lambda entry: entry.file.record_order)
        else:
            del self._records[image, tag]
            tags.pop(tag, None)
            if not tags:
                del self._newest[image]
        if len({entry.file.sha256 for entry in records}) > 1:
            log.warning("duplicate", image=image, tag=tag, kept=tags[tag].file.uri)
