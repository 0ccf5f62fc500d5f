"""The real skopeo and podman accept signatures by a subkey, and refuse images with a wrong signature or none."""

import subprocess
from collections.abc import Iterator

import pytest

from packrat_demo.build_image import Image, build_oci
from support.docker_registry import HOST, WEB_1, WEB_2, Registry, docker_stage, policy, put, served
from support.keys import Key, fingerprint_of, gnupg_home


def test_signatures_by_a_subkey_are_accepted_too() -> None:
    with gnupg_home() as home:
        gpg = ["gpg", "--homedir", str(home), "--batch", "--passphrase", ""]
        subprocess.run([*gpg, "--quick-generate-key", "whole", "rsa2048", "cert"], check=True, capture_output=True)
        primary = fingerprint_of(home, "whole")
        subprocess.run([*gpg, "--quick-add-key", primary, "rsa2048", "sign"], check=True, capture_output=True)
        with docker_stage(Key(home, primary)) as set_up:
            put(set_up, WEB_1, build_oci(WEB_1))
            set_up.agent("sync")
            assert "0 faults" in set_up.agent("verify").stdout
            with served("built-in", set_up) as registry:
                checked = policy(set_up, registry)
                name = f"{HOST}/docker-dev/web:1.2"
                registry.run("skopeo", "copy", f"docker://{name}", f"dir:{registry.place / 'web'}", policy=checked)
                registry.podman("pull", name, policy=checked)


@pytest.fixture(scope="module", params=["built-in", "nginx", "apache"])
def tampered(request: pytest.FixtureRequest, key: Key) -> Iterator[Registry]:
    """A signed mirror that somebody changed: 1.2 is what 1.10 was, the signature of 2.0 is gone."""
    with docker_stage(key, docker_signature_api="yes") as set_up:
        for image in (WEB_1, WEB_2, Image("web", "2.0")):
            put(set_up, image, build_oci(image))
        set_up.agent("sync")
        top = set_up.www / "docker-dev"
        images = top / "v2/web"
        digest = {tag: str((images / "_refs" / tag).readlink()) for tag in ("1.2", "1.10", "2.0")}
        (images / "manifests/1.2").write_bytes((images / "manifests/1.10").read_bytes())
        (images / "_refs/1.2").unlink()
        (images / "_refs/1.2").symlink_to(digest["1.10"])
        rules = images / "manifests/.htaccess"
        before, _, after = rules.read_text().partition('<Files "1.2">')
        rules.write_text(before + '<Files "1.2">' + after.replace(digest["1.2"], digest["1.10"], 1))
        (top / f"extensions/v2/web/signatures/{digest['2.0']}").write_bytes(b'{"signatures":[]}')
        with served(request.param, set_up) as running:
            assert running.answer("/v2/")[1]["X-Registry-Supports-Signatures"] == "1"
            (running.place / "policy.json").write_bytes((top / "sigstore/policy.json").read_bytes())
            yield running


@pytest.mark.parametrize(
    ("tag", "reason"),
    [("1.2", "is not accepted"), ("2.0", "signature was required"), ("latest", "signature was required")],
)
def test_wrong_and_missing_signatures_are_refused(tampered: Registry, tag: str, reason: str) -> None:
    checked = tampered.place / "policy.json"
    name = f"{HOST}/docker-dev/web:{tag}"
    target = f"dir:{tampered.place / tag}"
    assert reason in tampered.run("skopeo", "copy", f"docker://{name}", target, policy=checked, expect=1)
    assert reason in tampered.podman("pull", name, policy=checked, expect=1)
    # Not for want of the image, or for all images.
    tampered.run("skopeo", "copy", f"docker://{name}", target)
    tampered.run("skopeo", "copy", f"docker://{HOST}/docker-dev/web:1.10", target, policy=checked)
