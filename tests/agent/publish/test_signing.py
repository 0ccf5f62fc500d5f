"""Signing completes the files that wait for the key, and makes each signature once."""

import base64
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.run import run_gpg
from packrat_agent.gpg.signers import Signers
from packrat_agent.gpg.verdict import read_verdict
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, PendingFile, Publication, Retained, SignatureForm, Since, TreeFile
from packrat_agent.publish.signing import declare_unsigned, publication_identity, sign_tree
from support.keys import Key

REPO = Repo("dev", "", "dev", "apt", ())
RELEASE, STATEMENT = Content.of(b"Date: ", b"today\n"), Content.of(b"a name is an image")
QUOTED, ALONE, COPIED = "list", "signature-1", "InRelease"
PENDING = (
    PendingFile(ALONE, SignatureForm.OPAQUE, (STATEMENT,), lasting=True, retained=Retained.AS_PACKAGE),
    PendingFile(QUOTED, SignatureForm.OPAQUE, (STATEMENT, STATEMENT), (b"<", b"|", b">"), lasting=True),
)
POINTERS = (TreeFile("Release", RELEASE), PendingFile(COPIED, SignatureForm.CLEAR, (RELEASE,), by_hash_dir="by-hash"))
RENDERED = (Publication("s", "identity", PENDING, POINTERS),)


class Made:
    """A cache of signatures that tells what was asked for."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}

    def get(self, coding: str, digest: str) -> bytes | None:
        return self.kept.get((coding, digest))

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        assert (coding, digest) not in self.kept, "it is made once"
        self.kept[coding, digest] = chunk


@pytest.fixture(scope="module")
def signer(key: Key) -> Signers:
    return Signers(find_key(key.fingerprint, key.home, None, datetime.now(UTC)))


def test_a_signature_is_made_once_and_stands_wherever_it_belongs(signer: Signers) -> None:
    cache = Made()
    bare = Publication("bare", "identity", (), POINTERS[:1])
    with capture_logs() as logged:
        publication, _ = sign_tree(REPO, (*RENDERED, bare), signer, {}, cache).publications
    assert [event["event"] for event in logged] == ["apt: Signing distro s"]
    content = {file.path: file for file in publication.content if isinstance(file, TreeFile)}
    alone = content[ALONE]
    encoded = base64.b64encode(bytes(alone.content))
    assert bytes(content[QUOTED].content) == b"<" + encoded + b"|" + encoded + b">"
    assert alone.retained is Retained.AS_PACKAGE
    # What is signed in a pointer has a date: its signature is not kept.
    assert list(cache.kept.values()) == [bytes(alone.content)]
    copied = publication.pointers[1]
    assert isinstance(copied, TreeFile)
    assert copied.path == COPIED
    assert b"Date: today\n" in bytes(copied.content)
    assert content[f"by-hash/{copied.content.digest}"].content == copied.content
    (again,) = sign_tree(REPO, RENDERED, signer, {}, cache).publications
    assert again.content[:2] == publication.content[:2]


def test_a_published_tree_is_not_signed_again(signer: Signers) -> None:
    live = {"s": publication_identity(REPO, RENDERED[0].identity, signer)}
    tree = sign_tree(REPO, RENDERED, signer, live, Made())
    assert (tree.publications, tree.publication_names) == ((), ("s",))


def test_without_a_key_nothing_that_waits_for_it_is_published() -> None:
    (publication,) = declare_unsigned(REPO, RENDERED, {}).publications
    assert (publication.content, publication.pointers) == ((), POINTERS[:1])


def test_where_the_publication_of_before_is_live_only_what_differs_is_published() -> None:
    since = Since("before", ("gone",), (), PENDING[:1], (*POINTERS[1:], *POINTERS[:1]), (2, 7))
    rendered = (Publication("s", "identity", PENDING, POINTERS, since=since),)
    live = {"s": publication_identity(REPO, "before", None)}
    (publication,) = declare_unsigned(REPO, rendered, live).publications
    # The place of a pointer that is left out for lack of a key goes with it.
    assert (publication.content, publication.pointers) == ((), POINTERS[:1])
    assert publication.since is not None
    assert publication.since.places == (7,)
    (whole,) = declare_unsigned(REPO, rendered, {"s": "another"}).publications
    assert whole.since is None


def test_one_detached_signature_serves_both_forms(
    signer: Signers, key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    wrapper = tmp_path / "gpg"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nexec {shutil.which("gpg")} "$@"\n')
    wrapper.chmod(0o755)
    forms = {"sums.gpg": SignatureForm.BINARY, "sums.asc": SignatureForm.ARMOR, "sums.signed": SignatureForm.CLEAR}
    pending = tuple(PendingFile(path, form, (RELEASE,)) for path, form in forms.items())
    alone = PendingFile("alone.asc", SignatureForm.ARMOR, (STATEMENT,))
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        rendered = Publication("s", "identity", (), (*pending, alone))
        (made,) = sign_tree(REPO, (rendered,), signer, {}, Made()).publications
    files = {file.path: bytes(file.content) for file in made.pointers if isinstance(file, TreeFile)}
    assert files.keys() == {*forms, alone.path}
    assert calls.read_text().count("--detach-sign") == len(("sums", "alone"))
    assert run_gpg(key.home, "--dearmor", data=files["sums.asc"]).output == files["sums.gpg"]
    (tmp_path / "data").write_bytes(bytes(RELEASE))
    for name in ("sums.gpg", "sums.asc"):
        (tmp_path / name).write_bytes(files[name])
        verified = run_gpg(key.home, "--verify", str(tmp_path / name), str(tmp_path / "data"))
        assert read_verdict(verified.status).signers == (key.fingerprint,)
