"""Image archives of all kinds: sound ones as several tools write them, and bad ones, each with one thing wrong."""

import base64
import gzip
import io
import json
import struct
import tarfile

from backports import zstd

from packrat_demo.build_image import Image, build_classic, build_oci, tar
from support.image_archives import (
    DOCKER,
    LAYER,
    MANIFEST,
    OCI,
    OTHER_LAYER,
    PLAIN,
    Files,
    as_json,
    blob,
    classic,
    config_of,
    described,
    digest,
    layout,
    manifest_of,
    oci,
    tar_member,
)
from support.odd_layers import sound_layers, unpackable_layers

SBOM = b'{"spdxVersion":"SPDX-2.3"}', "application/spdx+json"


def with_artifact(*, in_index: bool = True, named: str = "1.0", file: tuple[bytes, str] = SBOM) -> bytes:
    """An image with a bill of materials, or another file, that has it as its subject."""
    config = config_of([digest(LAYER)])
    manifest = manifest_of(config, (LAYER, PLAIN))
    empty = b"{}"
    about = as_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/spdx+json",
            "config": described(empty, "application/vnd.oci.empty.v1+json"),
            "layers": [described(*file)],
            "subject": described(manifest, MANIFEST),
            "annotations": {"org.example.tool": "syft"},
        }
    )
    top = described(manifest, MANIFEST, annotations={"org.opencontainers.image.ref.name": named})
    referring = described(about, MANIFEST, artifactType="application/spdx+json")
    blobs = [config, LAYER, manifest, empty, file[0], about]
    if in_index:
        return layout(top, referring, blobs=blobs)
    listed = as_json({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [referring]})
    name = {"org.opencontainers.image.ref.name": digest(manifest).replace(":", "-")}
    return layout(top, described(listed, f"{OCI}.index.v1+json", annotations=name), blobs=[*blobs, listed])


def attested() -> bytes:
    """An image with an attestation beside it in its index, as buildx writes it."""
    config = config_of([digest(LAYER)])
    manifest = manifest_of(config, (LAYER, PLAIN))
    statement = b'{"_type":"https://in-toto.io/Statement/v0.1"}'
    about_config = config_of([digest(statement)], architecture="unknown", os="unknown")
    about = manifest_of(about_config, (statement, "application/vnd.in-toto+json"))
    index = as_json(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.index.v1+json",
            "manifests": [
                described(manifest, MANIFEST, platform={"architecture": "amd64", "os": "linux"}),
                described(about, MANIFEST, platform={"architecture": "unknown", "os": "unknown"}),
            ],
        }
    )
    blobs = [config, LAYER, manifest, statement, about_config, about, index]
    return layout(described(index, f"{OCI}.index.v1+json"), blobs=blobs)


def _signed_by_cosign() -> tuple[bytes, bytes, list[bytes]]:
    """The manifests of an image and of its signature, which has no subject, and their blobs."""
    config = config_of([digest(LAYER)])
    manifest = manifest_of(config, (LAYER, PLAIN))
    payload = as_json({"critical": {"image": {"docker-manifest-digest": digest(manifest)}}})
    about_config = config_of([digest(payload)], architecture="", os="")
    about = manifest_of(about_config, (payload, "application/vnd.dev.cosign.simplesigning.v1+json"))
    return manifest, about, [config, LAYER, manifest, payload, about_config, about]


def saved_by_cosign() -> bytes:
    """An image with its signature beside it, as `cosign save` writes them: nothing but the kind tells them apart."""
    manifest, about, blobs = _signed_by_cosign()
    tops = [
        described(data, MANIFEST, annotations={"kind": f"dev.cosignproject.cosign/{kind}"})
        for data, kind in ((manifest, "image"), (about, "sigs"))
    ]
    return layout(*tops, blobs=blobs)


def signature_of_cosign() -> bytes:
    """The signature alone."""
    _, about, blobs = _signed_by_cosign()
    return layout(described(about, MANIFEST), blobs=blobs)


def frames(data: bytes) -> bytes:
    """Several zstd frames, and one that is to be skipped, as zstd:chunked layers have them."""
    half = len(data) // 2
    skipped = (0x184D2A50).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"table"
    return zstd.compress(data[:half]) + zstd.compress(data[half:]) + skipped


def as_pzstd_writes(data: bytes) -> bytes:
    """A zstd frame after one that is to be skipped and says how long it is."""
    packed = zstd.compress(data)
    return (0x184D2A50).to_bytes(4, "little") + struct.pack("<II", 4, len(packed)) + packed


def _described_in_full() -> bytes:
    settings: dict[str, object] = {
        "Env": ["A=1"],
        "Cmd": ["sh"],
        "Labels": {"A": "1", "a": "2"},
        "User": "",
        "WorkingDir": "/",
        "Volumes": None,
        "ExposedPorts": {"80/tcp": {}, "81/tcp": None},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30_000_000_000, "Retries": 3},
        "StopTimeout": -1,
        "ArgsEscaped": True,
        "Entrypoint": None,
        "shell": ["sh", "-c"],
    }
    history = [{"created": "2024-02-01T10:00:00.123456789+01:00", "created_by": "x", "empty_layer": True}, {}]
    config = config_of([digest(LAYER)], created="0000-02-29T23:59:59Z", config=settings, history=history, variant="v8")
    at_hand = {**described(config, f"{OCI}.config.v1+json"), "data": base64.b64encode(config).decode()}
    manifest = manifest_of(config, (LAYER, PLAIN), annotations={"A": "1", "a": "2"})
    manifest = as_json({**json.loads(manifest), "config": at_hand})
    return layout(described(manifest, MANIFEST), blobs=[config, LAYER, manifest])


def _without_layers(diff_ids: object, **layers: object) -> bytes:
    config = as_json({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    described_config = described(config, f"{OCI}.config.v1+json")
    manifest = as_json({"schemaVersion": 2, "mediaType": MANIFEST, "config": described_config, **layers})
    return layout(described(manifest, MANIFEST), blobs=[config, manifest])


def _without_types(layer_type: str | None) -> bytes:
    config = config_of([digest(LAYER)])
    layers = [{**described(LAYER, PLAIN), "mediaType": layer_type}]
    manifest = manifest_of(config, layers=layers)
    return layout({**described(manifest, MANIFEST), "mediaType": None}, blobs=[config, LAYER, manifest])


def _with_layer(layer: bytes) -> bytes:
    """An image with one layer of these bytes, by their own digest."""
    return oci(gzip.compress(layer), "+gzip", diff_id=digest(layer))


def sound_images() -> dict[str, bytes]:
    web = Image("web", "1.0")
    half = len(LAYER) // 2
    return {
        "as the demo builds it": build_oci(web),
        "of the older form": build_classic(web),
        "of two architectures": build_oci(web, Image("web", "1.0", architecture="arm64")),
        "plain layer": oci(),
        "gzip layer": oci(gzip.compress(LAYER), "+gzip"),
        "gzip layer of two members": oci(gzip.compress(LAYER[:half]) + gzip.compress(LAYER[half:]), "+gzip"),
        "zstd layer": oci(zstd.compress(LAYER), "+zstd"),
        "zstd layer of several frames": oci(frames(LAYER), "+zstd"),
        "classic with a gzip layer": classic(gzip.compress(LAYER)),
        **{name: _with_layer(layer) for name, layer in sound_layers().items()},
        "no layer": layout(
            described(manifest_of(config_of([])), MANIFEST),
            blobs=[config_of([]), manifest_of(config_of([]))],
        ),
        "null for layers and diff_ids": _without_layers(None, layers=None),
        "null for layers": _without_layers([], layers=None),
        "no list of layers": _without_layers(None),
        "null for the type of the manifest": _without_types(PLAIN),
        "an encrypted layer": oci(OTHER_LAYER[::-1], "+gzip+encrypted"),
        "classic with null for layers": classic(diff_ids=None, Layers=None),
        "an artifact beside it": with_artifact(),
        # So oras calls each file of which nobody says the type.
        "an artifact with a gzip file called a tar": with_artifact(file=(gzip.compress(LAYER), PLAIN)),
        "an artifact by the fallback tag": with_artifact(in_index=False),
        "an attestation": attested(),
        "null for what may be missing": oci(annotations=None, subject=None, artifactType=None),
        "a configuration in full": _described_in_full(),
    }


def misread_images() -> dict[str, bytes]:
    """What Python reads in a manifest or a configuration, and clients don't, or not as Python does."""
    config = config_of([digest(LAYER)])
    manifest = manifest_of(config, (LAYER, PLAIN))
    as_int, as_float = b'"schemaVersion": 2', b'"schemaVersion": 2.0'
    described_layer = described(LAYER, PLAIN)
    strange = {"mediaType": PLAIN, "digest": f"sha256:{'1' * 64}", "size": 3}
    manifests = {
        "in UTF-16": manifest.decode().encode("utf-16"),
        "behind a byte order mark": b"\xef\xbb\xbf" + manifest,
        "with NaN": manifest[:-1] + b', "x": NaN}',
        "with a fraction for a version": manifest.replace(as_int, as_float),
        "with other Layers": manifest_of(config, (LAYER, PLAIN), Layers=[strange]),
        "with another Config": manifest_of(config, (LAYER, PLAIN), Config=strange),
        "with Manifests": manifest_of(config, (LAYER, PLAIN), Manifests=[]),
        "with a number for an annotation": manifest_of(config, (LAYER, PLAIN), annotations={"a": 1}),
        "with a list of annotations": manifest_of(config, (LAYER, PLAIN), annotations=[1]),
        "with a text of URLs": manifest_of(config, layers=[{**described_layer, "urls": "http://x"}]),
        "with data that are not base64": manifest_of(config, layers=[{**described_layer, "data": "***"}]),
        "with a text for a platform": manifest_of(config, layers=[{**described_layer, "platform": "amd64"}]),
    }
    configs = {
        "in UTF-16": config.decode().encode("utf-16"),
        "with Infinity": config[:-1] + b', "x": Infinity}',
        "with a number for an architecture": config_of([digest(LAYER)], architecture=5),
        "with a word for a date": config_of([digest(LAYER)], created="yesterday"),
        "with a list of settings": config_of([digest(LAYER)], config=[1]),
        "with a text for an environment": config_of([digest(LAYER)], config={"Env": "A=1"}),
        "with a text for a history": config_of([digest(LAYER)], history="none"),
        "with a list for a variant": config_of([digest(LAYER)], variant=["v8"]),
        "with a number for an author": config_of([digest(LAYER)], author=1),
        "with a text for features": config_of([digest(LAYER)], **{"os.features": "win32k"}),
        "with a flag in words": config_of([digest(LAYER)], history=[{"empty_layer": "true"}]),
        "with a list of commands in its history": config_of([digest(LAYER)], history=[{"created_by": ["sh"]}]),
        "with a number for a date in its history": config_of([digest(LAYER)], history=[{"created": 1}]),
    }
    settings: dict[str, object] = {
        "a text to start": {"Entrypoint": "/bin/sh"},
        "a number to start": {"Cmd": [1]},
        "a list of ports": {"ExposedPorts": ["80/tcp"]},
        "a text at a port": {"ExposedPorts": {"80/tcp": "x"}},
        "a list of volumes": {"Volumes": ["/data"]},
        "a number for a signal": {"StopSignal": 15},
        "a fraction for a time": {"StopTimeout": 1.5},
        "a text for a flag": {"ArgsEscaped": "yes"},
        "a text for a test": {"Healthcheck": {"Test": "true"}},
        "a text for a cmd": {"cmd": "sh"},
    }
    configs |= {
        f"with {name} in its settings": config_of([digest(LAYER)], config=own) for name, own in settings.items()
    }
    dates = ("2024-13-01T00:00:00Z", "2023-02-29T00:00:00Z", "2024-02-03T24:00:00Z", "2024-02-03T23:59:60Z")
    configs |= {f"of {date}": config_of([digest(LAYER)], created=date) for date in dates}
    made = {
        f"a manifest {name}": layout(described(data, MANIFEST), blobs=[config, LAYER, data])
        for name, data in manifests.items()
    }
    for name, data in configs.items():
        top = manifest_of(data, (LAYER, PLAIN))
        made[f"a configuration {name}"] = layout(described(top, MANIFEST), blobs=[data, LAYER, top])
    return made


def _replace(archive: bytes, name: str, data: bytes | None) -> bytes:
    """The archive with a file replaced or left out."""
    kept: Files = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened:
            file = opened.extractfile(member) if member.isreg() else None
            content = file.read() if file is not None else member.linkname
            if member.name != name:
                kept.append((member.name, content))
            elif data is not None:
                kept.append((name, data))
    return tar(kept)


def _blob_name(data: bytes) -> str:
    return blob(data)[0]


def bad_images() -> dict[str, bytes]:
    """What is wrong → the archive."""
    layers = {name: _with_layer(layer) for name, layer in unpackable_layers().items()}
    packed = gzip.compress(LAYER)
    flipped = LAYER[:600] + b"X" + LAYER[601:]
    config = config_of([digest(LAYER)])
    whole = build_classic(Image("web", "1.0"))
    manifest = manifest_of(config, (LAYER, PLAIN))
    top = described(manifest, MANIFEST)
    blobs = [config, LAYER, manifest]
    two_layers = manifest_of(config, (LAYER, PLAIN), (OTHER_LAYER, PLAIN))
    nothing_known = as_json({**json.loads(manifest), "mediaType": f"{DOCKER}.distribution.manifest.v1+json"})
    both = as_json({**json.loads(manifest), "manifests": []})
    wrong_size = as_json({**json.loads(manifest), "layers": [{**described(LAYER, PLAIN), "size": 7}]})
    true_size = as_json({**json.loads(manifest), "layers": [{**described(LAYER, PLAIN), "size": True}]})
    other_data = as_json({**json.loads(manifest), "layers": [{**described(LAYER, PLAIN), "data": "e30="}]})
    sha512 = {**described(config, f"{OCI}.config.v1+json"), "digest": f"sha512:{'0' * 128}"}
    other_hash = as_json({**json.loads(manifest), "config": sha512})
    two = manifest_of(config, (LAYER, PLAIN), annotations={"a": "b"})
    of_two = config_of([digest(LAYER)] * 2)
    twice = manifest_of(of_two, layers=[{**described(LAYER, PLAIN), "size": 7}, described(LAYER, PLAIN)])
    two_lists = b'{"layers": [{"urls": ["https://elsewhere.example.com/"]}], ' + manifest[1:]
    two_architectures = b'{"architecture": "arm64", ' + config[1:]
    of_two_architectures = manifest_of(two_architectures, (LAYER, PLAIN))
    two_sizes = as_json(
        {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [top, {**top, "size": 5}]}
    )
    return {
        "a layer's blob damaged": _replace(oci(), _blob_name(LAYER), flipped),
        "a configuration damaged": _replace(oci(), _blob_name(config), config.replace(b"amd64", b"arm64")),
        "a manifest damaged": _replace(oci(), _blob_name(manifest), manifest + b" "),
        "a layer missing": _replace(oci(), _blob_name(LAYER), None),
        "a configuration missing": _replace(oci(), _blob_name(config), None),
        "a manifest missing": _replace(oci(), _blob_name(manifest), None),
        "a plain layer of another diff_id": oci(OTHER_LAYER),
        "a gzip layer of another diff_id": oci(gzip.compress(OTHER_LAYER), "+gzip"),
        "a zstd layer of another diff_id": oci(zstd.compress(OTHER_LAYER), "+zstd"),
        "a classic layer of another diff_id": classic(OTHER_LAYER),
        "a classic gzip layer of another diff_id": classic(gzip.compress(OTHER_LAYER)),
        "a gzip layer that ends early": oci(packed[:-9], "+gzip"),
        "a gzip layer with a wrong checksum": oci(packed[:-8] + bytes(4) + packed[-4:], "+gzip"),
        "a zstd layer that ends early": oci(zstd.compress(LAYER)[:-3], "+zstd"),
        "a gzip layer with bytes behind it": oci(packed + b"rest", "+gzip"),
        "a gzip layer with zeros behind it": oci(packed + bytes(512), "+gzip"),
        "a zstd layer with zeros behind it": oci(zstd.compress(LAYER) + bytes(8), "+zstd"),
        "a classic gzip layer that ends early": classic(packed[:-9]),
        "a layer of pzstd": oci(as_pzstd_writes(LAYER), "+zstd"),
        "a classic layer of pzstd": classic(as_pzstd_writes(LAYER)),
        "a classic zstd layer": classic(zstd.compress(LAYER)),
        "a gzip layer called uncompressed": oci(gzip.compress(LAYER)),
        "a zstd layer called uncompressed": oci(zstd.compress(LAYER)),
        "a layer without a type": _without_types(None),
        "a diff_id that is not a digest": oci(diff_id="sha256:short"),
        "a diff_id that is not text": oci(diff_id=7),
        "more layers than diff_ids": layout(
            described(two_layers, MANIFEST), blobs=[config, LAYER, OTHER_LAYER, two_layers]
        ),
        "more classic layers than diff_ids": classic(diff_ids=[]),
        "classic diff_ids that are no list": classic(diff_ids={"a": 1}),
        "a layer's size wrong": layout(described(wrong_size, MANIFEST), blobs=[config, LAYER, wrong_size]),
        "a layer's size right and wrong": layout(described(twice, MANIFEST), blobs=[of_two, LAYER, twice]),
        "a manifest's size right and wrong": layout(
            described(two_sizes, f"{OCI}.index.v1+json"), blobs=[*blobs, two_sizes]
        ),
        "a second list of layers": layout(described(two_lists, MANIFEST), blobs=[config, LAYER, two_lists]),
        "a second architecture": layout(
            described(of_two_architectures, MANIFEST), blobs=[two_architectures, LAYER, of_two_architectures]
        ),
        "data of another blob": layout(described(other_data, MANIFEST), blobs=[config, LAYER, other_data]),
        "a layer's size no number": layout(described(true_size, MANIFEST), blobs=[config, LAYER, true_size]),
        "a manifest's size wrong": layout({**top, "size": 5}, blobs=blobs),
        "a digest of another kind": layout(described(other_hash, MANIFEST), blobs=[config, LAYER, other_hash]),
        "a manifest of schema 1": layout(
            described(nothing_known, f"{DOCKER}.distribution.manifest.v1+json"), blobs=[config, LAYER, nothing_known]
        ),
        "a manifest that calls itself otherwise": layout({**top, "mediaType": f"{OCI}.index.v1+json"}, blobs=blobs),
        "an index and an image at once": layout(described(both, MANIFEST), blobs=[config, LAYER, both]),
        "a subject that is not a descriptor": oci(subject={"digest": "x"}),
        "an index without images": layout(blobs=blobs),
        "an index that is not JSON": _replace(oci(), "index.json", b"{"),
        "two images": layout(
            {**top, "annotations": {"org.opencontainers.image.ref.name": "1"}},
            described(two, MANIFEST, annotations={"org.opencontainers.image.ref.name": "2"}),
            blobs=[*blobs, two],
        ),
        "two classic images": _replace(
            classic(), "manifest.json", as_json([{"Config": "config.json", "Layers": ["a/layer.tar"]}] * 2)
        ),
        "a manifest.json that is not JSON": _replace(classic(), "manifest.json", b"[{"),
        "an empty manifest.json": _replace(classic(), "manifest.json", b"[]"),
        "a classic configuration missing": classic(Config="nothing.json"),
        "a classic layer missing": classic(Layers=["b/layer.tar"]),
        "a classic layer in a circle": tar_member("a/layer.tar", tarfile.SYMTYPE, target="../b")
        + tar([("b", "a/layer.tar"), ("c", config), ("manifest.json", as_json([{"Config": "c", "Layers": ["b"]}]))]),
        "cut off in a member": whole[: whole.index(b"manifest.json") + 600],
        "no end mark": whole.rstrip(b"\0").ljust(len(whole.rstrip(b"\0")) + -len(whole.rstrip(b"\0")) % 512, b"\0"),
        "bytes behind the end": whole + b"x" * 512,
        "two members of one name": tar_member("manifest.json", tarfile.REGTYPE, b"[]") + whole,
        "a member that leads out": tar_member("../x", tarfile.REGTYPE, b"x") + whole,
        "an absolute member": tar_member("/etc/x", tarfile.REGTYPE, b"x") + whole,
        "a link that leads out": tar_member("x", tarfile.SYMTYPE, target="../../y") + whole,
        "a device": tar_member("x", tarfile.CHRTYPE) + whole,
        "a header with a wrong checksum": whole[:100] + b"7" + whole[101:],
        **layers,
    }
