"""A real `packrat-agent sync` publishes the site's own files, and leaves those that the operator keeps."""

import pytest

from support.stage import Stage


def test_the_landing_page_and_the_key_are_published(lab: Stage) -> None:
    lab.agent("sync")
    page = (lab.www / "index.html").read_text()
    assert "the lab&#x27;s mirror" in page or "the lab's mirror" in page
    assert "signed-by=" in page
    assert (lab.www / "repo-key").read_text().startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----")


@pytest.mark.parametrize("text", ["exported by hand", ""], ids=["written", "as it was published"])
def test_a_keep_file_in_place_of_the_key_is_left_to_the_operator(lab: Stage, text: str) -> None:
    if not text:
        lab.agent("sync")
    lab.extra = {"keep_file_list": f"{lab.www}/repo-key"}
    lab.write_config()
    lab.www.mkdir(exist_ok=True)
    key = lab.www / "repo-key"
    expected = text or key.read_text()
    key.write_text(expected)
    lab.agent("sync")
    assert key.read_text() == expected
