"""Builds the tree and the state database of the original packrat agent as that agent leaves them, mistakes included.

    write_original(server, www, state_db, key, description="the lab's mirror")

It takes what an `OriginalServer` offers at that moment. What is odd about such a tree is told beside each function.
"""

import base64
import hashlib
import itertools
import json
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path

import createrepo_c

from support.keys import Key
from support.original_server import OriginalServer, StoredPackage
from support.original_store import SUITES

DESCRIPTION = "the lab's mirror"
ORIGIN = "Packrat"
_ARCHITECTURES = ("i386", "amd64")
_DATE = "Tue, 03 Mar 2020 10:20:30 UTC"


def write_original(server: OriginalServer, www: Path, state_db: Path, key: Key) -> None:
    """Write tree, `repo-key` and state database."""
    www.mkdir(parents=True)
    (www / "repo-key").write_bytes(_gpg(key, "--armor", "--export", key.fingerprint))
    signed: dict[tuple[str, int], str] = {}
    for name, repo in server.repos.items():
        top, files = www / name, _offered(server, name)
        for file in files:
            place = top / place_of(repo.kind, file)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.content)
            if repo.kind == "yum":
                signed[name, file.number] = _sign_rpm(place, key)
        match repo.kind:
            case "apt":
                _write_apt(top, repo.suites, files, key, server.description(name))
            case "yum":
                _write_yum(top, repo.suites, files, key)
            case "pypi":
                _write_pypi(top, files)
            case "docker":
                _write_docker(top, files)
            case "json":
                _write_json(top, files, key)
    _write_state(server, state_db, signed)


def place_of(kind: str, file: StoredPackage) -> str:
    """Where the original agent puts a package file, below its repository's directory."""
    before = file.name.split("_", 1)[0]
    match kind:
        case "apt":
            return f"pool/{before[:6]}/{file.name}"
        case "yum":
            distro, version, _ = SUITES[file.suite]
            return f"{distro}/main/{version}/{'noarch' if file.arch == 'all' else file.arch}/{file.name}"
        case "pypi":
            return f"packages/{file.name.split('-', 1)[0][:6]}/{file.name}"
        case "docker":
            return f"cache/{before[:6]}/{file.name}"
    return f"{before}/{file.name}"


def _offered(server: OriginalServer, name: str) -> list[StoredPackage]:
    repo = server.repos[name]
    return [
        file
        for file in server.files.values()
        if repo.tag in file.tags and file.suite in repo.suites and not file.failed
    ]


def _gpg(key: Key, *arguments: str, data: bytes = b"") -> bytes:
    command = ["gpg", "--homedir", str(key.home), "--batch", "--no-tty", "--local-user", key.fingerprint, *arguments]
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout


def sign(path: Path, signature: Path, key: Key) -> None:
    """Sign an index, armored and detached."""
    signature.write_bytes(_gpg(key, "--armor", "--textmode", "--detach-sign", data=path.read_bytes()))


def _sign_rpm(path: Path, key: Key) -> str:
    """Sign in place, dated now; gives the SHA-256 of what is on disk then."""
    values = {"__gpg": str(shutil.which("gpg")), "_gpg_path": str(key.home), "_gpg_name": key.fingerprint}
    defines = [word for name, value in values.items() for word in ("--define", f"{name} {value}")]
    subprocess.run(
        ["rpmsign", *defines, "--define", "_gpg_digest_algo sha256", "--addsign", str(path)],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_apt(top: Path, suites: Sequence[str], files: Sequence[StoredPackage], key: Key, description: str) -> None:
    """Plain Packages for i386 and amd64 always, `all` in both; Release and Release.gpg, no InRelease; no Suite."""
    for suite in suites:
        base = top / "dists" / suite
        head = f"Origin: {ORIGIN}\nLabel: {description}\n"
        about = f"Description: {description} of {DESCRIPTION}\n"
        indexes: dict[str, bytes] = {}
        for architecture in _ARCHITECTURES:
            here = f"main/binary-{architecture}"
            indexes[f"{here}/Release"] = f"Component: main\n{head}Architecture: {architecture}\n{about}".encode()
            stanzas = [(file, *_stanza(top, file)) for file in files if file.suite == suite]
            # One whose architecture is not the recorded one is on disk and in the database, but in no index.
            fitting = [
                text
                for file, arch, text in stanzas
                if arch in (architecture, "all") and arch == {"x86_64": "amd64"}.get(file.arch, file.arch)
            ]
            indexes[f"{here}/Packages"] = "".join(fitting).encode()
        release = f"{head}Codename: {suite}\nDate: {_DATE}\nArchitectures: i386 amd64\nComponents: main\n{about}"
        for title, name in (("MD5Sum", "md5"), ("SHA1", "sha1"), ("SHA256", "sha256")):
            release += f"{title}:\n"
            for path, data in indexes.items():
                release += f" {hashlib.new(name, data).hexdigest()} {len(data)} {path}\n"
        for path, data in indexes.items():
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            (base / path).write_bytes(data)
        (base / "Release").write_text(release)
        sign(base / "Release", base / "Release.gpg", key)


def _stanza(top: Path, file: StoredPackage) -> tuple[str, str]:
    path = place_of("apt", file)
    control = subprocess.run(["dpkg-deb", "-f", str(top / path)], check=True, capture_output=True, text=True).stdout
    architecture = next(line.split(": ")[1] for line in control.splitlines() if line.startswith("Architecture: "))
    hashes = {"SHA256": "sha256", "SHA1": "sha1", "MD5sum": "md5"}
    told = "".join(f"{title}: {hashlib.new(name, file.content).hexdigest()}\n" for title, name in hashes.items())
    return architecture, f"{control}Filename: {path}\nSize: {len(file.content)}\n{told}\n"


def _write_yum(top: Path, suites: Sequence[str], files: Sequence[StoredPackage], key: Key) -> None:
    """Uncompressed repodata under fixed names, over the signed packages."""
    for suite in suites:
        distro, version, _ = SUITES[suite]
        base = top / f"{distro}/main/{version}"
        (base / "repodata").mkdir(parents=True, exist_ok=True)
        here = [file for file in files if file.suite == suite]
        texts: dict[str, list[str]] = {"other": [], "filelists": [], "primary": []}
        for file in here:
            place = top / place_of("yum", file)
            package = createrepo_c.package_from_rpm(str(place), location_href=str(place.relative_to(base)))
            primary, filelists, other = createrepo_c.xml_dump(package)
            for kind, text in (("other", other), ("filelists", filelists), ("primary", primary)):
                texts[kind].append(text)
        roots = {"other": "otherdata", "filelists": "filelists", "primary": "metadata"}
        spaces = {"other": "other", "filelists": "filelists", "primary": "common"}
        listed = ""
        for kind, parts in texts.items():
            more = ' xmlns:rpm="http://linux.duke.edu/metadata/rpm"' if kind == "primary" else ""
            space = f'xmlns="http://linux.duke.edu/metadata/{spaces[kind]}"{more}'
            text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{roots[kind]} {space} packages="{len(parts)}">\n'
            data = (text + "".join(parts) + f"</{roots[kind]}>\n").encode()
            (base / f"repodata/{kind}.xml").write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            listed += (
                f'  <data type="{kind}">\n    <location href="repodata/{kind}.xml"/>\n'
                f"    <timestamp>1583230830</timestamp>\n"
                f'    <checksum type="sha256">{digest}</checksum>\n'
                f'    <open-checksum type="sha256">{digest}</open-checksum>\n  </data>\n'
            )
        repomd = base / "repodata/repomd.xml"
        repomd.write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<repomd xmlns="http://linux.duke.edu/metadata/repo">\n{listed}</repomd>\n'
        )
        sign(repomd, base / "repodata/repomd.xml.asc", key)


def _write_pypi(top: Path, files: Sequence[StoredPackage]) -> None:
    """One page for all projects, called `simple_dir`, which has only the last one, and leads nowhere."""
    projects: dict[str, list[StoredPackage]] = {}
    for file in files:
        projects.setdefault(file.name.split("-", 1)[0], []).append(file)
    for project, found in projects.items():
        page = f"<!DOCTYPE html>\n<html>\n<body>\n  <h1>Links for {project}</h1>\n"
        for file in found:
            path = top / place_of("pypi", file)
            md5 = hashlib.md5(file.content, usedforsecurity=False).hexdigest()
            page += f'  <a href="/{path}#md5={md5}" rel="internal">{file.name}</a><br>\n'
        (top / "simple/simple_dir").mkdir(parents=True, exist_ok=True)
        (top / "simple/simple_dir/index.html").write_text(f"{page}</body>\n</html>\n")


def _write_docker(top: Path, files: Sequence[StoredPackage]) -> None:
    """Manifests of schema 1 with a signature that is none, over layers that are not compressed."""
    images: dict[str, list[StoredPackage]] = {}
    for file in files:
        images.setdefault(file.name.split("_", 1)[0], []).append(file)
    for image, found in images.items():
        base = top / "v2" / image
        for name in ("blobs", "manifests", "tags"):
            (base / name).mkdir(parents=True, exist_ok=True)
        tags = ["latest"]
        for file in found:
            tag = file.name.split("_", 1)[1].removesuffix(".tar")
            layers = _layers(file.content)
            for layer in layers:
                (base / f"blobs/sha256:{hashlib.sha256(layer).hexdigest()}").write_bytes(layer)
            for reference in (tag, "latest"):
                (base / f"manifests/{reference}").write_text(_schema_1(image, reference, layers))
            tags.append(tag)
        (base / "tags/list").write_text(json.dumps({"name": image, "tags": tags}, indent=2))
    (top / "v2/_catalog").write_text(json.dumps({"repositories": list(images)}, indent=2))


def _layers(archive: bytes) -> list[bytes]:
    with tarfile.open(fileobj=BytesIO(archive)) as opened:

        def read(name: str) -> bytes:
            member = opened.extractfile(name)
            assert member is not None
            return member.read()

        return [read(name) for name in json.loads(read("manifest.json"))[0]["Layers"]]


def _schema_1(image: str, tag: str, layers: Sequence[bytes]) -> str:
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in reversed(layers)]
    # From the top layer to the base, which has no parent.
    compatible = [{"id": digest[7:], "created": "2020-03-03T10:20:30Z"} for digest in digests]
    for above, below in itertools.pairwise(compatible):
        above["parent"] = below["id"]
    manifest = {
        "schemaVersion": 1,
        "name": image,
        "tag": tag,
        "architecture": "x86_64",
        "fsLayers": [{"blobSum": digest} for digest in digests],
        "history": [{"v1Compatibility": json.dumps(layer)} for layer in compatible],
    }
    payload = json.dumps(manifest, indent=2)
    protected = {"formatLength": len(payload) - 2, "formatTail": "Cn0", "time": "2020-03-03T10:20:30Z"}
    told = base64.b64encode(json.dumps(protected).encode()).decode().rstrip("=")
    return f'{payload[:-2]},\n"signatures": {json.dumps([{"protected": told}], indent=2)}\n}}\n'


def _write_json(top: Path, files: Sequence[StoredPackage], key: Key) -> None:
    data: dict[str, list[Mapping[str, object]]] = {}
    for file in files:
        package, _, rest = file.name.partition("_")
        about = {"version": rest.rsplit(".", 1)[0], "path": f"{package}/{file.name}", "type": file.kind}
        sha256 = hashlib.sha256(file.content).hexdigest()
        data.setdefault(package, []).append({**about, "sha256": sha256, "size": len(file.content)})
    manifest = top / "_repo_main/MANIFEST_all.json"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps(data, indent=2, sort_keys=True))
    sign(manifest, Path(f"{manifest}.gpg"), key)


def _write_state(server: OriginalServer, path: Path, signed: Mapping[tuple[str, int], str]) -> None:
    """The database, version 2; its file is not a WAL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE control (key text, value text)")
        db.execute("INSERT INTO control VALUES ('version', '2')")
        db.execute(
            "CREATE TABLE repos (name text, uri text, manager text, filesystem_dir text, description text, "
            "distro_map text)"
        )
        db.execute(
            "CREATE TABLE files (repo text, uri text, file_url text, file_type text, filename text, distro text, "
            "distro_version text, arch text, sha256 text, signed256 text, repo_data text)"
        )
        for name, repo in server.repos.items():
            distros: dict[str, list[str | None]] = {}
            for suite in repo.suites:
                distro, version, _ = SUITES.get(suite, ("debian", suite, "deb"))
                distros.setdefault(distro, []).append(version)
            about = (server.description(name), json.dumps(distros))
            uri = f"/api/v2/Repo/Repo:{name}:"
            db.execute("INSERT INTO repos VALUES (?, ?, ?, ?, ?, ?)", (name, uri, repo.kind, name, *about))
            for file in _offered(server, name):
                distro, version, _ = SUITES.get(file.suite, ("debian", file.suite, "deb"))
                sha256 = hashlib.sha256(file.content).hexdigest()
                place = (f"/files/{file.name}", file.kind, file.name, distro, version, file.arch)
                hashes = (sha256, signed.get((name, file.number)), "{}")
                row = (name, f"/api/v2/Package/PackageFile:{file.number}:", *place, *hashes)
                db.execute(f"INSERT INTO files VALUES ({', '.join('?' * 11)})", row)
