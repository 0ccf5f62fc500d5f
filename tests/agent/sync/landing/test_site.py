"""The site's own files go when nothing needs them, also where the operator keeps the landing page."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from packrat_agent.config.load import load
from packrat_agent.formats.docker.layout import HOST_CATALOG
from packrat_agent.gpg.signing_key import PublicKey, SigningKey
from packrat_agent.gpg.signing_keys import PreparedKey, SigningKeys
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, ReadyPublication, TreeFile, UnsignedTree
from packrat_agent.publish.pointers import staged_name, staging_pointers
from packrat_agent.publish.writer import intend
from packrat_agent.site_page.site_files import SITE
from packrat_agent.sync.landing.site import publish_own_keys, publish_site
from packrat_agent.sync.mirror import open_mirror
from support.mirror_conf import write_mirror_conf


def test_the_list_of_images_goes_with_the_last_registry(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with open_mirror(load(write_mirror_conf(tmp_path, mirror=f"keep_file: {tmp_path}/www/index.html\n"))) as context:
        context.store.repos.save([Repo("images", "", "images", "docker", ())])
        publish_site(context)
        assert (context.root / HOST_CATALOG).is_file()
        context.store.repos.save([])
        publish_site(context)
        assert not (context.root / HOST_CATALOG).exists()


def test_a_site_publication_cut_off_is_completed_before_a_key_is_published(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    key = SigningKey("A" * 40, "A" * 40, "Own", "ed25519", 255, None, datetime.now(UTC), None, None)
    keys = SigningKeys(None, {"repo apt": PreparedKey(key, PublicKey(b"armored", b"binary"))})
    with open_mirror(load(write_mirror_conf(tmp_path))) as context:
        context.store.repos.save([Repo("apt", "", "apt", "apt", ())])
        page = ReadyPublication("site", "id", (), (TreeFile("index.html", Content.of(b"page")),), {})
        context.store.intents.begin(intend(UnsignedTree(SITE, (page,), ("site",)), ()))
        with staging_pointers(context.root, SITE) as directory:
            (directory / staged_name("index.html")).write_bytes(b"page")
        publish_own_keys(replace(context, keys=keys))
        assert (context.root / "index.html").read_bytes() == b"page"
        assert context.store.publications.identities(SITE.name).keys() == {"site", "keys"}
        assert (context.root / "repo-keys/apt.asc").read_bytes() == b"armored"
