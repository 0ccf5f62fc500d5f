"""Looks into rendered publications."""

from packrat_agent.model.tree import PendingFile, Publication, TreeFile


def signed_path(publication: Publication, file: PendingFile) -> str:
    """The pointer that a signature is made of; what it signs stands nowhere else."""
    (signed,) = file.signs
    paths = [
        pointer.path for pointer in publication.pointers if isinstance(pointer, TreeFile) and pointer.content == signed
    ]
    assert len(paths) == 1, paths
    return paths[0]
