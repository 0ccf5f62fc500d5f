"""The real skopeo and podman use the images that the agent publishes, through each web server."""

import gzip
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_demo.build_image import Image, build_classic, build_oci, tar, write_image
from support.docker_registry import HOST, MULTI, WEB_1, WEB_2, Registry, docker_stage, policy, put, served
from support.keys import Key
from support.odd_images import saved_by_cosign, signature_of_cosign, with_artifact
from support.stage import DEADLINE_S, Stage

_REGISTRIES = ".config/containers/registries.d"
"""Where podman looks, below the home directory."""

_DOC = (Path(__file__).parents[2] / "docs/docker.md").read_text()


@pytest.fixture(scope="module")
def published(key: Key) -> Iterator[Stage]:
    """Two images of several kinds in docker-dev; web:1.2 in docker-stage too."""
    with docker_stage(key) as set_up:
        put(set_up, WEB_1, build_classic(WEB_1), ("dev", "stage"))
        put(set_up, WEB_2, build_oci(WEB_2))
        put(set_up, MULTI[0], build_oci(*MULTI))
        set_up.agent("sync")
        yield set_up


@pytest.fixture(scope="module", params=["built-in", "nginx", "apache"])
def registry(request: pytest.FixtureRequest, published: Stage) -> Iterator[Registry]:
    with served(request.param, published) as running:
        yield running


def test_skopeo_inspects_by_tag_and_by_digest(registry: Registry) -> None:
    for tag in ("1.2", "1.10", "latest"):
        name = f"docker://{registry.address}/docker-dev/web"
        seen = json.loads(registry.run("skopeo", "inspect", "--tls-verify=false", f"{name}:{tag}"))
        assert seen["RepoTags"] == ["1.10", "1.2", "latest"]
        assert seen["Labels"]["version"] == ("1.2" if tag == "1.2" else "1.10")
        again = json.loads(registry.run("skopeo", "inspect", "--tls-verify=false", f"{name}@{seen['Digest']}"))
        assert again["Layers"] == seen["Layers"]


def test_skopeo_lists_tags(registry: Registry) -> None:
    for repo, tags in (("docker-dev", ["1.10", "1.2", "latest"]), ("docker-stage", ["1.2", "latest"])):
        listed = registry.run("skopeo", "list-tags", "--tls-verify=false", f"docker://{registry.address}/{repo}/web")
        assert json.loads(listed)["Tags"] == tags


def test_skopeo_copies_every_architecture(registry: Registry) -> None:
    target = registry.place / "tool"
    source = f"docker://{registry.address}/docker-dev/tool:3.0"
    options = ("--all", "--src-tls-verify=false")
    registry.run("skopeo", "copy", *options, source, f"oci:{target}:3.0")
    index = json.loads((target / "index.json").read_text())["manifests"][0]
    named = json.loads((target / "blobs" / index["digest"].replace(":", "/")).read_text())["manifests"]
    assert [manifest["platform"]["architecture"] for manifest in named] == ["amd64", "arm64"]
    arm = json.loads(
        registry.run("skopeo", "--override-arch", "arm64", "inspect", "--tls-verify=false", "--config", source)
    )
    assert arm["architecture"] == "arm64"


def test_skopeo_syncs_a_repository(registry: Registry) -> None:
    target = registry.place / "synced"
    source = f"{registry.address}/docker-dev/web"
    registry.run("skopeo", "sync", "--src-tls-verify=false", "--src", "docker", "--dest", "dir", source, str(target))
    assert sorted(path.name for path in target.iterdir()) == ["web:1.10", "web:1.2", "web:latest"]


def test_podman_pulls_by_tag_and_by_digest_from_both_repositories(registry: Registry) -> None:
    digests = {}
    for name in ("docker-dev/web:1.2", "docker-dev/web:latest", "docker-dev/tool:3.0", "docker-stage/web:1.2"):
        registry.podman("pull", "--tls-verify=false", f"{registry.address}/{name}")
        shown = json.loads(registry.podman("image", "inspect", f"{registry.address}/{name}"))[0]
        digests[name] = shown["RepoDigests"][0]
    for by_digest in digests.values():
        registry.podman("pull", "--tls-verify=false", by_digest)
    assert digests["docker-dev/web:1.2"].rpartition("@")[2] == digests["docker-stage/web:1.2"].rpartition("@")[2]
    assert digests["docker-dev/web:1.2"].rpartition("@")[2] != digests["docker-dev/web:latest"].rpartition("@")[2]


def test_a_registry_answers_at_the_top(registry: Registry) -> None:
    status, headers, body = registry.answer("/v2/")
    assert (status, json.loads(body)) == (200, {})
    assert headers["Content-Type"] == "application/json"
    assert headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert "X-Registry-Supports-Signatures" not in headers
    status, headers, body = registry.answer("/v2/docker-dev/_catalog")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {"repositories": ["tool", "web"]}
    status, headers, body = registry.answer("/v2/_catalog?n=100")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {"repositories": ["docker-dev/tool", "docker-dev/web", "docker-stage/web"]}


def test_podman_searches_the_whole_host(registry: Registry) -> None:
    found = registry.podman("search", "--tls-verify=false", "--format", "{{.Name}}", f"{registry.address}/")
    assert sorted(found.split()) == [
        f"{registry.address}/{name}" for name in ("docker-dev/tool", "docker-dev/web", "docker-stage/web")
    ]


def test_nothing_refers_to_most_manifests(registry: Registry) -> None:
    digest = registry.answer("/v2/docker-dev/web/manifests/1.2")[1]["Docker-Content-Digest"]
    status, headers, body = registry.answer(f"/v2/docker-dev/web/referrers/{digest}")
    assert (status, headers["Content-Type"]) == (200, "application/vnd.oci.image.index.v1+json")
    assert json.loads(body)["manifests"] == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/docker-dev/web/manifests/9", "MANIFEST_UNKNOWN"),
        (f"/v2/docker-dev/web/manifests/sha256:{'0' * 64}", "MANIFEST_UNKNOWN"),
        ("/v2/docker-dev/nothing/manifests/9", "MANIFEST_UNKNOWN"),
        (f"/v2/docker-dev/web/blobs/sha256:{'0' * 64}", "BLOB_UNKNOWN"),
        ("/v2/docker-dev/nothing/tags/list", "NAME_UNKNOWN"),
        ("/v2/nowhere/web/tags/list", "NAME_UNKNOWN"),
        ("/v2/docker-dev/Web/manifests/9", "NAME_UNKNOWN"),
    ],
)
def test_a_missing_object_gives_the_registrys_own_error(registry: Registry, path: str, code: str) -> None:
    status, headers, body = registry.answer(path)
    assert (status, headers["Content-Type"]) == (404, "application/json")
    assert json.loads(body)["errors"][0]["code"] == code
    assert "immutable" not in headers.get("Cache-Control", "")


def test_a_push_is_refused_with_what_to_do_instead(registry: Registry) -> None:
    options, web = ("--src-tls-verify=false", "--dest-tls-verify=false"), f"docker://{registry.address}/docker-dev/web"
    for target in ("docker-dev/web:mine", "docker-dev/new:1"):
        told = registry.run("skopeo", "copy", *options, f"{web}:1.2", f"docker://{registry.address}/{target}", expect=1)
        assert "unsupported: nothing can be pushed here; upload to the packrat server" in told
    status, headers, body = registry.answer("/v2/docker-dev/web/manifests/1.2", "DELETE")
    assert (status, headers["Content-Type"]) == (405, "application/json")
    assert json.loads(body)["errors"][0]["code"] == "UNSUPPORTED"
    # Of other files the web server says it in its own words.
    assert registry.answer("/docker-dev/v2/index.html", "PUT")[1]["Content-Type"] != "application/json"


@pytest.mark.parametrize("top", ["/v2/docker-dev", "/docker-dev/v2"])
@pytest.mark.parametrize("name", [".htaccess", "%2ehtaccess"])
def test_files_for_the_web_server_are_not_shown(registry: Registry, top: str, name: str) -> None:
    status, _, body = registry.answer(f"{top}/web/manifests/{name}")
    assert status == 404
    assert b"ForceType" not in body


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("ref", ["1.2", "latest", "3.0"])
def test_manifests_carry_their_type_and_digest(registry: Registry, ref: str, method: str) -> None:
    types = {
        "1.2": "application/vnd.docker.distribution.manifest.v2+json",
        "latest": "application/vnd.oci.image.manifest.v1+json",
        "3.0": "application/vnd.oci.image.index.v1+json",
    }
    image = "tool" if ref == "3.0" else "web"
    status, headers, body = registry.answer(f"/v2/docker-dev/{image}/manifests/{ref}", method)
    assert (status, headers["Content-Type"]) == (200, types[ref])
    digest = headers["Docker-Content-Digest"]
    again = registry.answer(f"/v2/docker-dev/{image}/manifests/{digest}", method)
    assert (again[1]["Content-Type"], again[1]["Docker-Content-Digest"], again[2]) == (types[ref], digest, body)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_blobs_carry_their_digest(registry: Registry, method: str) -> None:
    top = "/v2/docker-dev/web"
    _, _, manifest = registry.answer(f"{top}/manifests/1.2")
    blob = json.loads(manifest)["config"]
    status, headers, body = registry.answer(f"{top}/blobs/{blob['digest']}", method)
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    assert (headers["Docker-Content-Digest"], headers["Content-Length"]) == (blob["digest"], str(blob["size"]))
    assert len(body) == (blob["size"] if method == "GET" else 0)


@pytest.mark.parametrize("name", ["nginx", "apache"])
def test_caches_keep_what_a_digest_names_and_ask_for_what_a_tag_names(published: Stage, name: str) -> None:
    with served(name, published) as registry:
        top = "/v2/docker-dev/web"
        _, by_tag, _ = registry.answer(f"{top}/manifests/1.2")
        _, by_digest, body = registry.answer(f"{top}/manifests/{by_tag['Docker-Content-Digest']}")
        _, blob, _ = registry.answer(f"{top}/blobs/{json.loads(body)['config']['digest']}")
        assert by_tag["Cache-Control"] == "no-cache"
        assert by_digest["Cache-Control"] == blob["Cache-Control"] == "public, max-age=31536000, immutable"


def test_signatures_are_accepted_by_their_files(registry: Registry, published: Stage) -> None:
    checked = policy(published, registry)
    for name in ("web:1.2", "web:latest", "tool:3.0"):
        target = registry.place / f"signed-{name.replace(':', '-')}"
        source = f"docker://{HOST}/docker-dev/{name}"
        registry.run("skopeo", "copy", "--all", source, f"dir:{target}", policy=checked)
        assert list(target.glob("*signature-*"))
        registry.podman("pull", f"{HOST}/docker-dev/{name}", policy=checked)
    digest = registry.answer("/v2/docker-dev/web/manifests/1.2")[1]["Docker-Content-Digest"]
    registry.podman("pull", f"{HOST}/docker-dev/web@{digest}", policy=checked)


def test_the_policy_of_the_instructions_joins_the_one_that_a_client_has(registry: Registry, published: Stage) -> None:
    block = re.search(r"```sh\n(curl \S* \S* mirror-policy[^`]*)```", _DOC)
    assert block is not None
    place = registry.place / "containers"
    place.mkdir()
    before = {
        "default": [{"type": "reject"}],
        "transports": {
            "docker": {"registry.example.com/base": [{"type": "insecureAcceptAnything"}]},
            "dir": {"": [{"type": "insecureAcceptAnything"}]},
        },
    }
    (place / "policy.json").write_text(json.dumps(before))
    policy(published, registry)
    commands = block[1].replace("https://repo.example.com/docker-prod", f"{registry.url}/docker-dev")
    commands = commands.replace("/etc/containers", str(place))
    subprocess.run(["sh", "-ec", commands], cwd=registry.place, check=True, capture_output=True, timeout=DEADLINE_S)
    after = json.loads((place / "policy.json").read_text())
    [requirement] = after["transports"]["docker"].pop(f"{HOST}/docker-dev")
    assert (after, requirement["type"]) == (before, "signedBy")
    assert json.loads((place / "policy.json.~1~").read_text()) == before
    joined, target = place / "policy.json", f"dir:{registry.place / 'joined'}"
    registry.run("skopeo", "copy", f"docker://{HOST}/docker-dev/web:1.2", target, policy=joined)
    # The client's own strictness with everything else stays.
    refused = registry.run("skopeo", "copy", f"docker://{HOST}/docker-stage/web:1.2", target, policy=joined, expect=1)
    assert "rejected by policy" in refused


def test_an_image_moves_on_and_goes(key: Key) -> None:
    with docker_stage(key) as set_up:
        put(set_up, WEB_1, build_classic(WEB_1))
        set_up.agent("sync")
        with served("apache", set_up) as registry:
            old = registry.answer("/v2/docker-dev/web/manifests/latest")[1]
            uris = set_up.server.put(
                write_image(WEB_2, set_up.directory / "images", build_oci(WEB_2)), ("docker",), ("dev",)
            )
            set_up.agent("sync")
            new = registry.answer("/v2/docker-dev/web/manifests/latest")[1]
            assert new["Docker-Content-Digest"] != old["Docker-Content-Digest"]
            set_up.server.untag(uris[0], "dev")
            set_up.agent("sync")
            assert registry.answer("/v2/docker-dev/web/manifests/1.10")[0] == 404
            again = registry.answer("/v2/docker-dev/web/manifests/latest")[1]
            assert again["Docker-Content-Digest"] == old["Docker-Content-Digest"]
            # A pull that has begun goes on: the manifest is known by its digest for the grace period, with its type.
            gone = registry.answer(f"/v2/docker-dev/web/manifests/{new['Docker-Content-Digest']}")
            assert (gone[0], gone[1]["Content-Type"]) == (200, new["Content-Type"])


def test_tags_with_the_endings_of_files_are_nothing_but_tags(key: Key) -> None:
    with docker_stage(None) as set_up:
        for version in ("1.0.gz", "1.0.html", "Release", "x.fr"):
            put(set_up, Image("pool", version), build_oci(Image("pool", version)))
        set_up.agent("sync")
        for name in ("built-in", "nginx", "apache"):
            with served(name, set_up) as registry:
                for version in ("1.0.gz", "1.0.html", "Release", "x.fr"):
                    status, headers, _ = registry.answer(f"/v2/docker-dev/pool/manifests/{version}")
                    assert (status, headers["Content-Type"], headers.get("Content-Encoding")) == (
                        200,
                        "application/vnd.oci.image.manifest.v1+json",
                        None,
                    ), (name, version)


def test_an_encrypted_image_is_for_those_who_have_the_key(tmp_path: Path) -> None:
    plain, secret = tmp_path / "plain.tar", tmp_path / "secret.tar"
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    plain.write_bytes(build_oci(WEB_2))
    encrypt = ["skopeo", "--insecure-policy", "copy", "--encryption-key", f"jwe:{public}"]
    for command in (
        ["openssl", "genrsa", "-out", str(private), "2048"],
        ["openssl", "rsa", "-in", str(private), "-pubout", "-out", str(public)],
        [*encrypt, f"oci-archive:{plain}", f"oci-archive:{secret}"],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)
    with docker_stage(None) as set_up:
        put(set_up, WEB_2, secret.read_bytes())
        set_up.agent("sync")
        assert "0 faults" in set_up.agent("verify").stdout
        with served("built-in", set_up) as registry:
            name = f"{registry.address}/docker-dev/web:1.10"
            registry.podman("pull", "--tls-verify=false", name, expect=1)
            with_key = ("--src-tls-verify=false", "--decryption-key", str(private))
            target = registry.place / "decrypted"
            registry.run("skopeo", "copy", *with_key, f"docker://{name}", f"dir:{target}")
            manifest = json.loads((target / "manifest.json").read_text())
            layers = [(target / layer["digest"].removeprefix("sha256:")).read_bytes() for layer in manifest["layers"]]
    assert [gzip.decompress(layer) for layer in layers] == [tar(layer) for layer in WEB_2.layers]


def test_links_that_the_agent_did_not_make_lead_nowhere(published: Stage) -> None:
    refs = published.www / "docker-dev/v2/web/_refs"
    outside = published.directory / "outside" / f"sha256:{'0' * 64}"
    outside.mkdir(parents=True)
    (outside / "manifest.ocim").write_text("not ours")
    foreign = refs / "foreign"
    ours = refs / "ours"
    file = published.www / "docker-dev/v2/web/manifests/file"
    foreign.symlink_to(outside)
    os.chown(foreign, 12345, 12345, follow_symlinks=False)
    ours.symlink_to(outside)
    file.symlink_to(outside / "manifest.ocim")
    for name in ("built-in", "nginx", "apache"):
        with served(name, published) as registry:
            for ref in ("foreign", "file"):
                status, _, body = registry.answer(f"/v2/docker-dev/web/manifests/{ref}")
                assert status in (403, 404), (name, ref)
                assert b"not ours" not in body
            assert registry.answer("/v2/docker-dev/web/manifests/latest")[0] == 200
    # What carries the agent's own user's mark is found and removed by the next full sync.
    published.agent("sync")
    assert not any(os.path.lexists(path) for path in (foreign, ours, file))


def test_an_artifact_is_found_by_its_subject(key: Key) -> None:
    with docker_stage(key) as set_up:
        put(set_up, Image("web", "1.0"), with_artifact())
        set_up.agent("sync")
        assert "0 faults" in set_up.agent("verify").stdout
        for name in ("built-in", "nginx", "apache"):
            with served(name, set_up) as registry:
                top = "/v2/docker-dev/web"
                subject = registry.answer(f"{top}/manifests/1.0")[1]["Docker-Content-Digest"]
                _, headers, body = registry.answer(f"{top}/referrers/{subject}")
                assert headers["Content-Type"] == "application/vnd.oci.image.index.v1+json"
                [listed] = json.loads(body)["manifests"]
                assert (listed["artifactType"], listed["annotations"]) == (
                    "application/spdx+json",
                    {"org.example.tool": "syft"},
                )
                status, _, manifest = registry.answer(f"{top}/manifests/{listed['digest']}")
                assert (status, json.loads(manifest)["subject"]["digest"]) == (200, subject)
                [layer] = json.loads(manifest)["layers"]
                assert b"SPDX" in registry.answer(f"{top}/blobs/{layer['digest']}")[2]
                # It is signed by its digest, and by no tag of the image.
                checked, by_digest = policy(set_up, registry), f"docker://{HOST}/docker-dev/web@{listed['digest']}"
                registry.run("skopeo", "copy", by_digest, f"dir:{registry.place / 'sbom'}", policy=checked)


def test_an_image_that_cosign_saved_keeps_the_digest_that_cosign_signed(key: Key) -> None:
    """Its signature, uploaded as a file of its own, has the tag by which cosign finds it."""
    with docker_stage(key) as set_up:
        put(set_up, Image("web", "1.0"), saved_by_cosign())
        set_up.agent("sync")
        with served("built-in", set_up) as registry:
            signed = registry.run(
                "skopeo", "inspect", "--no-tags", "--format", "{{.Digest}}", f"docker://{HOST}/docker-dev/web:1.0"
            )
            tag = f"{signed.strip().replace(':', '-')}.sig"
            put(set_up, Image("web", tag), signature_of_cosign())
            set_up.agent("sync")
            assert "0 faults" in set_up.agent("verify").stdout
            copied = registry.place / "copied"
            registry.run("skopeo", "copy", f"docker://{HOST}/docker-dev/web:{tag}", f"dir:{copied}")
            manifest = json.loads((copied / "manifest.json").read_bytes())
            [layer] = manifest["layers"]
            assert layer["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
            payload = json.loads((copied / layer["digest"].removeprefix("sha256:")).read_bytes())
            assert payload["critical"]["image"]["docker-manifest-digest"] == signed.strip()


def test_a_tree_that_hands_out_signatures_goes_on_until_it_is_told_not_to(key: Key) -> None:
    with docker_stage(key, docker_signature_api="yes") as set_up:
        put(set_up, WEB_1, build_oci(WEB_1))
        set_up.agent("sync")
        # As agents before the setting left it.
        for name in ("_catalog", "_signatures", "_no_referrers"):
            (set_up.www / "v2" / name).unlink()
        lists = set_up.www / "docker-dev/extensions/v2/web/signatures"
        for setting, expected in ((None, True), ("no", False), (None, False)):
            set_up.extra.pop("docker_signature_api", None)
            set_up.extra.update({"docker_signature_api": setting} if setting else {})
            set_up.write_config()
            told = set_up.agent("sync").stderr
            assert ("signature-api" in told) == (expected and setting is None)
            assert "0 faults" in set_up.agent("verify").stdout
            for name in ("built-in", "nginx", "apache"):
                with served(name, set_up) as registry:
                    assert ("X-Registry-Supports-Signatures" in registry.answer("/v2/")[1]) == expected, name
        assert list(lists.iterdir()), "the lists stay for the grace period"
