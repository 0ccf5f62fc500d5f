"""LIES: what a published tree can say wrong though nothing in it is torn, and where `verify` has to find it."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from support.keys import Key
from support.stage import Stage
from support.tree_edits import (
    APT,
    RHEL,
    SIMPLE,
    SLES,
    WEB,
    edit,
    edit_metadata,
    endless_message,
    link,
    lost_generation,
    replace_numbers,
    sign,
    swap,
    unsafe_policy,
    unsigned_rpm,
    web_signature,
)

Lie = Callable[[Path, Stage, Key], object]

LIES: Mapping[str, tuple[Lie, str, str]] = {
    # What is done → where a fault is told, and a word of it.
    "another key signs Release": (
        lambda tree, _, other: sign(other, "--armor", "-o", tree / APT / "Release.gpg", "-b", tree / APT / "Release"),
        f"{APT}/Release.gpg",
        "signature",
    ),
    "Release forgets an architecture": (
        lambda tree, _, __: edit(tree / APT / "Release", "Architectures: all amd64", "Architectures: amd64"),
        f"{APT}/Release",
        "an index for the architecture all, but does not name it",
    ),
    "Release names an architecture without packages": (
        lambda tree, _, __: edit(tree / APT / "Release", "Architectures: all", "Architectures: all arm64"),
        f"{APT}/Release",
        "names the architecture arm64, but lists no index",
    ),
    "Release has clients pass over packages for all": (
        lambda tree, _, __: edit(
            tree / APT / "Release", "Components: main", "No-Support-for-Architecture-all: Packages\nComponents: main"
        ),
        f"{APT}/Release",
        "pass over the index for the architecture all",
    ),
    "another key signs repomd": (
        lambda tree, _, other: sign(
            other, "--armor", "-o", tree / RHEL / "repodata/repomd.xml.asc", "-b", tree / RHEL / "repodata/repomd.xml"
        ),
        f"{RHEL}/repodata/repomd.xml.asc",
        "signature",
    ),
    "another key is beside repomd": (
        lambda tree, _, other: sign(other, "--armor", "-o", tree / RHEL / "repodata/repomd.xml.key", "--export"),
        f"{RHEL}/repodata/repomd.xml.key",
        "does not fit the signature",
    ),
    "another key signs sums": (
        lambda tree, _, other: sign(other, "-o", tree / "json-dev/SHA256SUMS.gpg", "-b", tree / "json-dev/SHA256SUMS"),
        "json-dev/SHA256SUMS.gpg",
        "signature",
    ),
    "another key signs sums with their text": (
        lambda tree, _, other: sign(
            other, "-o", tree / "json-dev/SHA256SUMS.signed", "--clear-sign", tree / "json-dev/SHA256SUMS"
        ),
        "json-dev/SHA256SUMS.signed",
        "signature",
    ),
    "the signed sums are those of another list": (
        lambda tree, mirror, _: sign(
            mirror.key, "-o", tree / "json-dev/SHA256SUMS.signed", "--clear-sign", tree / "docker-dev/v2/_catalog"
        ),
        "json-dev/SHA256SUMS.signed",
        "differs from SHA256SUMS",
    ),
    "the signed sums that the landing page leads to are lost": (
        lambda tree, _, __: (tree / "json-dev/SHA256SUMS.signed").unlink(),
        "json-dev/SHA256SUMS.signed",
        "can't be read",
    ),
    "another key signs an image": (
        lambda tree, _, other: sign(other, "-o", web_signature(tree, "1.2"), "--sign", tree / "docker-dev/v2/_catalog"),
        "docker-dev/sigstore/docker-dev/web@sha256=",
        "signature",
    ),
    "our key signs something else for an image": (
        lambda tree, mirror, _: sign(
            mirror.key, "-o", web_signature(tree, "1.2"), "--sign", tree / "docker-dev/v2/_catalog"
        ),
        "docker-dev/sigstore/docker-dev/web@sha256=",
        "in place of sha256:",
    ),
    "a signed message without end": (
        lambda tree, mirror, _: endless_message(mirror, tree),
        "docker-dev/sigstore/docker-dev/web@sha256=",
        "more than",
    ),
    "signatures of two images are exchanged": (
        lambda tree, _, __: swap(web_signature(tree, "1.1"), web_signature(tree, "1.2")),
        "docker-dev/sigstore/docker-dev/web@sha256=",
        "signs sha256:",
    ),
    "the policy has another key": (
        lambda tree, _, other: unsafe_policy(tree, other),
        "docker-dev/sigstore/policy.json",
        "another key",
    ),
    "repo-key is another key": (
        lambda tree, _, other: sign(other, "--armor", "-o", tree / "repo-key", "--export"),
        "repo-key",
        "another key",
    ),
    "repo-key.gpg is another key": (
        lambda tree, _, other: sign(other, "-o", tree / "repo-key.gpg", "--export"),
        f"{SLES}/repodata/",
        "signature",
    ),
    "a package is unsigned": (
        lambda tree, mirror, _: unsigned_rpm(mirror, tree),
        f"{SLES}/x86_64/one-",
        "is not signed",
    ),
    "primary leads out": (
        lambda tree, _, __: edit_metadata(tree, "primary", 'href="noarch/', 'href="../../../../'),
        f"{SLES}/repodata/repomd.xml",
        "outside the repository",
    ),
    "primary has a document type": (
        lambda tree, _, __: edit_metadata(tree, "primary", "<metadata", '<!DOCTYPE x [<!ENTITY a "b">]><metadata'),
        f"{SLES}/repodata/",
        "document type",
    ),
    "primary counts wrongly": (
        lambda tree, _, __: edit_metadata(tree, "primary", 'packages="3"', 'packages="4"'),
        f"{SLES}/repodata/",
        "has 3 packages and says 4",
    ),
    "filelists has other packages": (
        lambda tree, _, __: edit_metadata(tree, "filelists", 'pkgid="', 'pkgid="0'),
        f"{SLES}/repodata/",
        "other packages than primary",
    ),
    "metadata unpacks to more than repomd says": (
        lambda tree, _, __: replace_numbers(tree / SLES / "repodata/repomd.xml", "<open-size>", "1"),
        f"{SLES}/repodata/",
        "unpacks to more than 1 bytes",
    ),
    "repomd says a size twice": (
        lambda tree, _, __: edit(tree / SLES / "repodata/repomd.xml", "<size>", "<size>1</size><size>"),
        f"{SLES}/repodata/repomd.xml",
        "twice",
    ),
    "metalink is of another repomd": (
        lambda tree, _, __: edit(tree / SLES / "metalink", "<size>", "<size>1"),
        f"{SLES}/metalink",
        "another repomd.xml",
    ),
    "mirrorlist names a generation that is not there": (
        lambda tree, _, __: lost_generation(tree),
        f"{SLES}/generations/0",
        "No such file",
    ),
    "a generation leads to other packages": (
        lambda tree, _, __: link(next((tree / SLES).glob("generations/*/x86_64")), "../../noarch"),
        f"{SLES}/generations/",
        "does not lead to the packages",
    ),
    "a generation leads out of the tree": (
        lambda tree, _, __: link(next((tree / SLES).glob("generations/*/x86_64")), "/etc"),
        f"{SLES}/generations/",
        "out of the tree",
    ),
    ".repo does not ask for signatures": (
        lambda tree, _, __: edit(tree / RHEL / "yum-dev.repo", "\ngpgcheck=1", "\ngpgcheck=0"),
        f"{RHEL}/yum-dev.repo",
        "gpgcheck",
    ),
    "JSON lacks a project": (
        lambda tree, _, __: edit(tree / SIMPLE / "index.v1_json", '{"name": "other"},\n', ""),
        f"{SIMPLE}/index.html",
        "other projects",
    ),
    "HTML has another hash": (
        lambda tree, _, __: edit(tree / SIMPLE / "other/index.html", "#sha256=", "#sha256=" + "0" * 64 + '" title="'),
        f"{SIMPLE}/other/index.html",
        "other files",
    ),
    "a project leads out": (
        lambda tree, _, __: edit(tree / SIMPLE / "other/index.v1_json", "../../packages", "../../packages/../../x"),
        f"{SIMPLE}/other/index.v1_json",
        "without a usable address",
    ),
    "a project is not in the index": (
        lambda tree, _, __: shutil.copytree(tree / SIMPLE / "other", tree / SIMPLE / "third"),
        f"{SIMPLE}/third",
        "does not name this project",
    ),
    "JSON without end": (
        lambda tree, _, __: (tree / SIMPLE / "other/index.v1_json").write_text("[" * 200_000),
        f"{SIMPLE}/other/index.v1_json",
        "not JSON",
    ),
    "two lists say another size": (
        lambda tree, _, __: edit(tree / SIMPLE / "other/index.v1_json", '"size": ', '"size": 1'),
        "pypi-dev/packages/other/other-",
        "bytes, pypi-dev/simple/other/index.v1_json says",
    ),
    "a name that no file can have": (
        lambda tree, _, __: edit(tree / "json-dev/_repo_main/MANIFEST_all.json", '"a/a_1.conf"', '"a/\\ud800\\u0000"'),
        "json-dev/_repo_main/MANIFEST_all.json",
        "names no file",
    ),
    "sums lack a file": (
        lambda tree, _, __: (tree / "json-dev/SHA256SUMS").write_text(""),
        "json-dev/SHA256SUMS",
        "does not name a/a_1.conf",
    ),
    "a tag leads to another manifest": (
        lambda tree, _, __: link(tree / WEB / "_refs/1.1", str((tree / WEB / "_refs/1.2").readlink())),
        f"{WEB}/manifests/1.1",
        "_refs/1.1 leads to",
    ),
    "a tag is of another manifest": (
        lambda tree, _, __: shutil.copyfile(tree / WEB / "manifests/1.2", tree / WEB / "manifests/1.1"),
        f"{WEB}/manifests/1.1",
        "_refs/1.1 leads to",
    ),
    "a tag is not listed": (
        lambda tree, _, __: shutil.copyfile(tree / WEB / "manifests/1.2", tree / WEB / "manifests/9"),
        f"{WEB}/manifests/9",
        "not in the list",
    ),
    "an image is not in the catalog": (
        lambda tree, _, __: edit(tree / "docker-dev/v2/_catalog", '"tool", ', ""),
        "docker-dev/v2/tool",
        "does not name this image",
    ),
    "a manifest has another type for Apache": (
        lambda tree, _, __: edit(
            tree / WEB / "manifests/.htaccess", "docker.distribution.manifest.v2", "oci.image.manifest.v1"
        ),
        f"{WEB}/manifests/.htaccess",
        "type and digest",
    ),
    "a manifest has a second type for nginx": (
        lambda tree, _, __: [
            (path / "manifest.ocii").write_text("{}") for path in (tree / WEB / "_refs").glob("sha256:*")
        ],
        f"{WEB}/_refs/sha256:",
        "one manifest",
    ),
    "Apache is told more": (
        lambda tree, _, __: (tree / WEB / "manifests/.htaccess").open("a").write("Redirect / http://example.com/\n"),
        f"{WEB}/manifests/.htaccess",
        "lines that are not the type",
    ),
}
