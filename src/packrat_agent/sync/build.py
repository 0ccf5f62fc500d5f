"""Makes what is published out of package files: reads each once in its life, signs or unpacks it where its type asks.

Takes: a Plan, what is staged, the fragments that are known, a format, the key.
Gives: the entries of the index, the places of the files, the fragments that were read, what is left out and why.
Touches: the staged files; staging; gpg, where packages are signed.
"""

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from packrat_agent.formats.interface import Format, Treatment
from packrat_agent.gpg.rpmsign import sign_package
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.values import Entry, Fragment, Part, Place, Placement, Plan, Product, Refusal, StagedFile
from packrat_core.errors import PackratError, Refused

_THREADS = 2


@dataclass(frozen=True, slots=True)
class Material:
    """What is at hand: SHA-256 → staged file, why others could not be had, fragments by the package file's SHA-256.

    known: (size of the package file, fragment). published_names: path → the package file that it has always stood for.
    claims: path → the SHA-256 that stands there for a file outside the plan; needed where files share products.
    """

    root: Path
    staging: Path
    staged: Mapping[str, StagedFile]
    failed: Mapping[str, PackratError]
    known: Mapping[str, tuple[int, Fragment]]
    published_names: Mapping[str, str]
    claims: Mapping[str, str]


@dataclass(slots=True)
class Made:
    """What was made; `fresh` is what was read now, `unneeded` names staged package files that are no longer needed."""

    entries: list[Entry] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    fresh: dict[str, tuple[int, Fragment]] = field(default_factory=dict)
    failed: list[Refusal] = field(default_factory=list)
    unreadable: list[Refusal] = field(default_factory=list)
    disagreeing: list[Refusal] = field(default_factory=list)
    unneeded: list[Path] = field(default_factory=list)
    claims: dict[str, str] = field(default_factory=dict)


def parts_of(path: str, sha256: str, fragment: Fragment) -> tuple[Part, ...]:
    """Say what is published of a package file with that place and SHA-256."""
    own = () if any(not one.beside for one in fragment.products) else (Part(path, sha256),)
    return (*own, *(Part(_path_of(path, one), one.sha256) for one in fragment.products))


def read_parts(file: Path, path: str, sha256: str, form: Format) -> tuple[Part, ...] | None:
    """Say the same by reading the package file, and keep nothing; None where it can't be read."""
    with tempfile.TemporaryDirectory(prefix="packrat-agent-") as scratch, suppress(Refused, OSError):
        return parts_of(path, sha256, form.read(file, Path(scratch)))
    return None


def _path_of(path: str, product: Product) -> str:
    if product.beside:
        return path + product.name
    return f"{path}/{product.name}" if product.name else path


def make(plan: Plan, form: Format, key: SigningKey | None, material: Material) -> Made:
    """Make all that the plan names; files that can't be had or read are left out, with the reason.

    Raises: SigningError where the key does not sign; DiskError where staging can't be written.
    """
    made = Made(claims=dict(material.claims))
    for placement in plan.keep:
        made.claims.update((part.path, part.sha256) for part in placement.parts)
    waiting = [placement for placement in (*plan.keep, *plan.link, *plan.fetch) if _at_hand(placement, material, made)]
    fresh = _read_all([one for one in waiting if not _is_known(one, material)], form, key, material, made)
    below = len(plan.repo.directory) + 1
    for placement in waiting:
        sha256 = placement.file.sha256
        known = fresh.get(sha256) or material.known.get(sha256)
        if known is None:
            continue
        reason = _disagreement(placement, form, known[1], material, sha256 in fresh)
        places = _places(placement, known[1], material, made)
        if reason is None and isinstance(places, str):
            reason = places
        if reason is not None or isinstance(places, str):
            made.disagreeing.append(Refusal(placement.file, reason or ""))
            continue
        made.claims.update((place.path, place.staged.sha256) for place in places)
        made.places += places
        size = next((one.size for one in known[1].products if not one.name), known[0])
        made.entries.append(Entry(placement.file, placement.path[below:], size, known[1]))
    made.fresh = fresh
    return made


def _at_hand(placement: Placement, material: Material, made: Made) -> bool:
    if _in_place(placement) or _parts_staged(placement, material) or placement.file.sha256 in material.staged:
        return True
    reason = material.failed.get(placement.file.sha256)
    made.failed.append(Refusal(placement.file, str(reason or "it could not be had")))
    return False


def _in_place(placement: Placement) -> bool:
    return bool(placement.parts) and all(part.source == part.path for part in placement.parts)


def _parts_staged(placement: Placement, material: Material) -> bool:
    return bool(placement.parts) and all(
        part.source == part.path or part.sha256 in material.staged for part in placement.parts
    )


def _is_known(placement: Placement, material: Material) -> bool:
    """True where the fragment is known and all its products are at hand."""
    known = material.known.get(placement.file.sha256)
    if known is None:
        return False
    return not known[1].products or _in_place(placement) or _parts_staged(placement, material)


def _read_all(
    placements: list[Placement], form: Format, key: SigningKey | None, material: Material, made: Made
) -> dict[str, tuple[int, Fragment]]:
    once = list({placement.file.sha256: placement for placement in placements}.values())
    signer = key if form.treatment is Treatment.SIGNED else None

    def read(placement: Placement) -> tuple[int, Fragment] | str:
        staged = material.staged.get(placement.file.sha256)
        path = staged.path if staged is not None else material.root / placement.path
        try:
            return _read(path, form, signer, material.staging)
        except (Refused, OSError) as error:
            return str(error)

    if signer is not None and len(once) > 1:
        # rpmsign is a program of its own: it runs beside this one.
        with ThreadPoolExecutor(_THREADS) as threads:
            results = list(threads.map(read, once))
    else:
        results = [read(placement) for placement in once]
    fresh = {}
    reasons = {}
    for placement, result in zip(once, results, strict=True):
        if isinstance(result, str):
            reasons[placement.file.sha256] = result
        else:
            fresh[placement.file.sha256] = result
    made.unreadable = [Refusal(one.file, reasons[one.file.sha256]) for one in placements if one.file.sha256 in reasons]
    made.unneeded = [
        staged.path
        for sha256, (_, fragment) in fresh.items()
        if fragment.products and (staged := material.staged.get(sha256)) is not None
    ]
    return fresh


def _read(path: Path, form: Format, signer: SigningKey | None, staging: Path) -> tuple[int, Fragment]:
    size = path.lstat().st_size
    if signer is None:
        return size, form.read(path, staging)
    signed = sign_package(path, staging, signer)
    if signed is None:
        return size, form.read(path, staging)
    fragment = form.read(signed.path, staging)
    return size, replace(fragment, products=(Product("", signed.sha256, signed.size),))


def _disagreement(
    placement: Placement, form: Format, fragment: Fragment, material: Material, is_fresh: bool
) -> str | None:
    """Hold record, file and the place's history against each other, where that was not done before."""
    if not is_fresh and _in_place(placement):
        return None
    try:
        form.agree(placement.file, fragment)
    except Refused as error:
        return str(error)
    if form.treatment is Treatment.UNPACKED:
        return None
    if material.published_names.get(placement.path, placement.file.sha256) != placement.file.sha256:
        return f"{placement.path} was published before with other bytes; upload the file under a new version"
    return None


def _places(placement: Placement, fragment: Fragment, material: Material, made: Made) -> list[Place] | str:
    """Say which staged file goes where; a text where one of the places is taken by other bytes."""
    if _in_place(placement):
        return []
    file = placement.file
    in_place = {part.path for part in placement.parts if part.source == part.path}
    sizes = {one.sha256: one.size for one in fragment.products}
    places = []
    for part in parts_of(placement.path, file.sha256, fragment):
        if made.claims.get(part.path, part.sha256) != part.sha256:
            return f"{part.path} is already the place of another file, which has other bytes"
        if part.path in in_place or part.path in made.claims:
            continue
        staged = material.staged.get(part.sha256)
        if staged is None:
            staged = StagedFile(part.sha256, material.staging / part.sha256, sizes[part.sha256])
        places.append(Place(part.path, staged, part.sha256 if part.path != placement.path else file.sha256))
    return places
