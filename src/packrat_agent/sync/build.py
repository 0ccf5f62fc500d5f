"""Builds what is published from package files: reads each once, and signs or unpacks it if its type asks for that."""

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from packrat_agent.formats.interface import Format, Treatment
from packrat_agent.gpg.rpmsign import PackageSigner, sign_package
from packrat_agent.model.entries import (
    Entry,
    Fragment,
    Placement,
    Plan,
    Product,
    Refusal,
    refusal_reason,
)
from packrat_agent.model.tree import LiveFile
from packrat_agent.sync.planning.plan import published_before
from packrat_agent.sync.planning.published_parts import parts_of
from packrat_core.errors import PackratError, Refused
from packrat_core.fs.atomic import write_new
from packrat_core.fs.verified import Opened, OtherBytes, read_verified

T = TypeVar("T")

_SIGNING_THREADS = 4
"""gpg-agent makes one signature at a time; the other threads check packages, start gpg, and verify."""
_READING_THREADS = 2


@dataclass(frozen=True, slots=True)
class Material:
    """What a build can use.

    Attributes:
        staged: SHA-256 → the verified file in staging.
        failed: SHA-256 → why the file could not be fetched.
        known: SHA-256 → the fragment of a file that was read before.
        published_names: Path → the package file that it has always stood for.
        claims: Path → the SHA-256 that stands there for a file outside the plan; needed where files share products.
        products: SHA-256 → the bytes of what is made of files that were read before.
    """

    root: Path
    staging: Path
    staged: Mapping[str, Path]
    failed: Mapping[str, PackratError]
    known: Mapping[str, Fragment]
    published_names: Mapping[str, str]
    claims: Mapping[str, str]
    products: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Made:
    """What was made.

    packages: what is to stand in the live tree, from staging. fresh: what was read now. unneeded: staged package files
    that are no longer needed. changed: those of `failed` that have other bytes on disk than their SHA-256 says, or
    can't be read.
    """

    entries: list[Entry] = field(default_factory=list)
    packages: list[LiveFile] = field(default_factory=list)
    fresh: dict[str, Fragment] = field(default_factory=dict)
    failed: list[Refusal] = field(default_factory=list)
    unreadable: list[Refusal] = field(default_factory=list)
    disagreeing: list[Refusal] = field(default_factory=list)
    unneeded: list[Path] = field(default_factory=list)
    changed: list[Placement] = field(default_factory=list)
    claims: ChainMap[str, str] = field(default_factory=ChainMap)


def build_packages(plan: Plan, form: Format, signer: PackageSigner | None, material: Material) -> Made:
    """Build everything that the plan names; files that can't be fetched or read are left out, with the reason.

    Args:
        plan: what to keep, link and fetch.
        form: the repository's type.
        signer: what signs packages, None for none.
        material: what is available.

    Raises:
        SigningError: the key does not sign.
        DiskError: staging can't be written.
    """
    # The claims of standing entries are only looked up: there may be 100,000 of them.
    made = Made(claims=ChainMap({}, cast(dict[str, str], material.claims)))
    for kept in plan.keep:
        made.claims.update(plan.parts[kept.file.uri])
    waiting = [item for item in (*plan.keep, *plan.link, *plan.fetch) if _at_hand(item, plan, material, made)]
    unread = [item for item in waiting if not _is_known(item, plan, material)]
    fresh = _read_all(unread, form, signer, material, made)
    # What is known of one that could not be read again is useless: its products are nowhere.
    failed = {item.file.sha256 for item in unread} - fresh.keys()
    below = len(plan.repo.directory) + 1
    for placement in waiting:
        sha256 = placement.file.sha256
        if sha256 in failed:
            continue
        fragment = fresh.get(sha256) or material.known[sha256]
        # What was checked when it was published need not be checked at every sync.
        known_before = sha256 not in fresh and plan.keeps(placement)
        reason = None if known_before else _disagreement(placement, form, fragment, material)
        packages = [] if plan.keeps(placement) else _packages(placement, fragment, plan, material, made)
        if reason is None and isinstance(packages, str):
            reason = packages
        if reason is not None or isinstance(packages, str):
            made.disagreeing.append(Refusal(placement.file, reason or ""))
            continue
        made.claims.update((package.path, package.sha256) for package in packages)
        made.packages += packages
        made.entries.append(Entry(placement.file, placement.path[below:], fragment))
    made.fresh = fresh
    # Those that are published go from staging with all that was placed.
    placed = {package.sha256 for package in made.packages}
    made.unneeded = [
        staged
        for sha256, fragment in fresh.items()
        if fragment.products and sha256 not in placed and (staged := material.staged.get(sha256)) is not None
    ]
    return made


def _at_hand(placement: Placement, plan: Plan, material: Material, made: Made) -> bool:
    if _are_parts_at_hand(placement, plan, material) or placement.file.sha256 in material.staged:
        return True
    reason = material.failed.get(placement.file.sha256)
    made.failed.append(Refusal(placement.file, str(reason or "it could not be fetched")))
    return False


def _are_parts_at_hand(placement: Placement, plan: Plan, material: Material) -> bool:
    missing = plan.missing.get(placement.file.uri, {})
    return placement.file.uri in plan.parts and all(sha256 in material.staged for sha256 in missing.values())


def _is_known(placement: Placement, plan: Plan, material: Material) -> bool:
    """Tell whether the fragment is known and all its products are available."""
    fragment = material.known.get(placement.file.sha256)
    if fragment is None:
        return False
    return not fragment.products or _are_parts_at_hand(placement, plan, material)


def _read_all(
    placements: list[Placement], form: Format, signer: PackageSigner | None, material: Material, made: Made
) -> dict[str, Fragment]:
    once = list({placement.file.sha256: placement for placement in placements}.values())
    unneeded = _UnneededProducts(placements, made.claims)

    def source(placement: Placement) -> tuple[Path, str]:
        sha256 = placement.file.sha256
        # A path is made only where it is needed: that takes as long as to open a small file.
        return material.staged.get(sha256) or material.root / placement.path, sha256

    def sign(placement: Placement) -> Product | str | OtherBytes | None:
        return _caught(lambda: sign_package(*source(placement), material.staging, signer) if signer else None)

    def read(placement: Placement, signed: Product | str | OtherBytes | None) -> Fragment | str | OtherBytes:
        if isinstance(signed, str | OtherBytes):
            return signed
        known = material.known.get(placement.file.sha256)
        if known is not None and _write_products(known, material):
            return known
        return _caught(lambda: _read(*source(placement), signed, form, material.staging, unneeded))

    if signer is not None and len(once) > 1:
        # gpg is a process of its own, so that several threads use two processors. All are signed before the first one
        # is read: what was written a moment ago has to be waited for (see `read_verified`).
        with ThreadPoolExecutor(_SIGNING_THREADS) as threads:
            signed = list(threads.map(sign, once))
        with ThreadPoolExecutor(_READING_THREADS) as threads:
            results = list(threads.map(read, once, signed))
    else:
        results = [read(placement, sign(placement)) for placement in once]
    outcomes = {placement.file.sha256: result for placement, result in zip(once, results, strict=True)}
    _note_unread(placements, outcomes, made)
    return {sha256: result for sha256, result in outcomes.items() if isinstance(result, Fragment)}


def _note_unread(
    placements: Sequence[Placement], outcomes: Mapping[str, Fragment | str | OtherBytes], made: Made
) -> None:
    """Note the package files that could not be read, and those that have other bytes than their record says."""
    for placement in placements:
        outcome = outcomes[placement.file.sha256]
        if isinstance(outcome, str):
            made.unreadable.append(Refusal(placement.file, outcome))
        elif isinstance(outcome, OtherBytes):
            # The package file is not at fault.
            made.changed.append(placement)
            made.failed.append(Refusal(placement.file, str(outcome)))


class _UnneededProducts:
    """Knows which products need not be written to staging: they stand in their places, or were written just now.

    What else is in staging may be what a crash has left of a file.
    """

    def __init__(self, placements: Sequence[Placement], claims: Mapping[str, str]) -> None:
        self._claims = claims
        self._places: dict[str, list[str]] = {}
        for placement in placements:
            self._places.setdefault(placement.file.sha256, []).append(placement.path)
        self._written: set[str] = set()

    def has(self, package: str, name: str, sha256: str) -> bool:
        """Tell whether a product need not be written.

        Args:
            package: The SHA-256 of its package file.
            name: Its name.
            sha256: Its own SHA-256.
        """
        if sha256 in self._written:
            return True
        return all(self._claims.get(f"{place}/{name}") == sha256 for place in self._places[package])

    def note_read(self, package: str, fragment: Fragment) -> None:
        """Note that all that was needed of a package file has been written."""
        written = [item.sha256 for item in fragment.products if not self.has(package, item.name, item.sha256)]
        self._written.update(written)


def _write_products(fragment: Fragment, material: Material) -> bool:
    """Write to staging what is made of a file that was read before; tells whether all of that is known."""
    needed = [product.sha256 for product in fragment.products if product.sha256]
    if any(sha256 not in material.products for sha256 in needed):
        return False
    for sha256 in needed:
        # All are flushed together before one is published.
        write_new(material.staging / sha256, [material.products[sha256]], flush=False)
    return True


def _caught(step: Callable[[], T]) -> T | str | OtherBytes:
    """Take a step; gives why its file can't be used, or that its bytes are not to be had as its record says."""
    try:
        return step()
    except OtherBytes as error:
        return error
    except OSError as error:
        # The package is not at fault: a disk that fails once must not keep it out for good.
        return OtherBytes(f"it can't be read ({error.strerror or error})", hint="it is fetched again")
    except Refused as error:
        return refusal_reason(error)


def _read(
    path: Path, sha256: str, signed: Product | None, form: Format, staging: Path, unneeded: _UnneededProducts
) -> Fragment:
    """Read a package file, or its signed copy.

    What is read stands in signed indexes, so nothing is taken from bytes that were not hashed here.
    """

    def read(opened: Opened) -> Fragment:
        return form.read(opened.path, staging, opened.content, partial(unneeded.has, sha256))

    if signed is None:
        fragment = read_verified(path, sha256, read)
        unneeded.note_read(sha256, fragment)
        return fragment
    fragment = read_verified(staging / signed.sha256, signed.sha256, read)
    return replace(fragment, products=(signed,), size=path.lstat().st_size)


def _disagreement(placement: Placement, form: Format, fragment: Fragment, material: Material) -> str | None:
    """Compare record, file and the history of the place with each other; gives why they disagree."""
    try:
        form.agree(placement.file, fragment)
    except Refused as error:
        return refusal_reason(error)
    if form.treatment is Treatment.UNPACKED:
        return None
    parts = parts_of(placement.path, placement.file.sha256, fragment)
    return published_before(placement, parts, material.published_names)


def _packages(
    placement: Placement, fragment: Fragment, plan: Plan, material: Material, made: Made
) -> list[LiveFile] | str:
    """Say which staged file goes where; gives a text if one of the places is taken by other bytes."""
    file, in_place = placement.file, plan.in_place(placement)
    sizes = {product.sha256: product.size for product in fragment.products}
    packages = []
    for path, sha256 in parts_of(placement.path, file.sha256, fragment).items():
        if made.claims.get(path, sha256) != sha256:
            return f"{path} is already the place of another file, which has other bytes"
        if path in made.claims or in_place.get(path) == sha256:
            continue
        size = fragment.size if sha256 == file.sha256 else sizes[sha256]
        origin = file.sha256 if path == placement.path else ""
        packages.append(LiveFile(path, "", sha256, size, origin=origin))
    return packages
