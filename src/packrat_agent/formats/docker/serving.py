"""Writes the configuration with which nginx or Apache serves a docker repository as a registry.

It also holds the bodies of the registry's answers to what it doesn't have, or doesn't do.

Source: OCI Distribution Specification 1.1; the manuals of nginx 1.22 and Apache HTTP Server 2.4.
"""

import json
import re
from pathlib import Path

from packrat_agent.formats.docker.layout import HOST_CATALOG, NO_REFERRERS, SIGNATURE_API
from packrat_agent.formats.interface import IMMUTABLE, WebRules, WebServer
from packrat_agent.formats.uploaded import uploaded_lines
from packrat_core.packages.image.manifest import MANIFEST_TYPES
from packrat_core.packages.image.referrers import write_referrers

_CODES = {
    "manifest_unknown": "manifest unknown",
    "blob_unknown": "blob unknown to registry",
    "name_unknown": "repository name not known to registry",
}


def _write_error(name: str, text: str) -> bytes:
    return json.dumps({"errors": [{"code": name.upper(), "message": text}]}).encode() + b"\n"


ERRORS = {name: _write_error(name, text) for name, text in _CODES.items()}
"""Name of an error → the body of its 404 answer."""

READ_ONLY = _write_error("unsupported", "nothing can be pushed here; upload to the packrat server")
"""What a client is told that pushes or deletes."""

EMPTY_REFERRERS = write_referrers(())
"""What a registry answers for a manifest to which nothing refers."""

_IMAGE = "[a-z0-9][a-z0-9._-]*"
_REFERENCE = "[A-Za-z0-9_][A-Za-z0-9._:-]*"
_DIGEST = "sha256:[0-9a-f]{64}"


def write_rules(server: WebServer, directory: str, root: Path) -> WebRules:
    """Write the rules that serve the images in `<root>/<directory>` under the name `host/<directory>/<image>`.

    Args:
        server: the web server.
        directory: the repository's directory, relative to root_dir.
        root: root_dir.
    """
    if server is WebServer.APACHE:
        return WebRules(shared=_fill(_APACHE_SHARED, directory, root), inside=_fill(_APACHE, directory, root))
    ends = "\n".join(f"{' ' * 16}{media_type} {end};" for media_type, end in MANIFEST_TYPES.items())
    tried = " ".join(f"/manifest.{end}" for end in MANIFEST_TYPES.values())
    inside = _fill(_NGINX.replace("TYPES", ends).replace("TRIED", tried), directory, root)
    unknown = "\n".join(
        _NGINX_UNKNOWN.replace("NAME", name).replace("BODY", text.decode().strip()) for name, text in ERRORS.items()
    )
    unknown += _NGINX_NO_REFERRERS.replace("BODY", EMPTY_REFERRERS.decode().strip())
    shared = _fill(_NGINX_SHARED, directory, root)
    return WebRules(outside=_NGINX_OUTSIDE, shared=shared + unknown, inside=inside)


def _fill(template: str, directory: str, root: Path) -> str:
    values = {
        "PATTERN": re.escape(directory).replace("\\-", "-"),
        "DIRECTORY": directory,
        "ROOT": str(root),
        "IMMUTABLE": IMMUTABLE,
        "UPLOADED": uploaded_lines(WebServer.APACHE),
        "HOST_CATALOG": HOST_CATALOG,
        "SIGNATURE_API": SIGNATURE_API,
        "NO_REFERRERS": NO_REFERRERS,
        "READ_ONLY": READ_ONLY.decode().strip(),
        "IMAGE": _IMAGE,
        "REFERENCE": _REFERENCE,
        "DIGEST": _DIGEST,
    }
    # All at once, since a path may hold one of the words.
    return re.sub("|".join(values), lambda found: values[found[0]], template)


_NGINX_OUTSIDE = f"""\
# The digest of an image's manifest: the name of the directory that a tag is a link to.
map $realpath_root $packrat_digest {{
    default "";
    "~/(?<packrat_found>{_DIGEST})$" $packrat_found;
}}

# What a tag stands for may change; what a digest stands for does not.
map $packrat_ref $packrat_caching {{
    default "no-cache";
    "~^{_DIGEST}$" "{IMMUTABLE}";
}}

# A request to the registry that is to change something.
map "$request_method $uri" $packrat_push {{
    default "";
    "~^(?!(?:GET|HEAD) )[A-Z]+ /v2/" 1;
}}
"""

_NGINX_SHARED = """\
    # The registry: docker, podman and others ask here first.
    location = /v2/ {
        default_type application/json;
        add_header Cache-Control "no-cache";
        add_header Docker-Distribution-Api-Version "registry/2.0";
        # The agent makes this file if docker_signature_api is on. Headers must stand in the block again.
        if (-f "ROOT/SIGNATURE_API") {
            add_header Cache-Control "no-cache";
            add_header Docker-Distribution-Api-Version "registry/2.0";
            add_header X-Registry-Supports-Signatures "1";
            return 200 "{}";
        }
        return 200 "{}";
    }
    location = /HOST_CATALOG {
        types { }
        default_type application/json;
        try_files /HOST_CATALOG @name_unknown;
    }
    location ^~ /v2/ {
        error_page 404 = @name_unknown;
        return 404;
    }
    if ($packrat_push) {
        rewrite ^ /v2/_read_only last;
    }
    # Clients read these answers.
    location = /v2/_read_only {
        internal;
        error_page 404 = @name_unknown;
        default_type application/json;
        return 405 'READ_ONLY';
    }
"""

_NGINX_UNKNOWN = """\
    location @NAME {
        types { }
        default_type application/json;
        return 404 '{BODY}';
    }
""".replace("{BODY}", "BODY")

_NGINX_NO_REFERRERS = """\
    location @no_referrers {
        types { }
        default_type application/vnd.oci.image.index.v1+json;
        return 200 'BODY';
    }
"""

_NGINX = """\
    # The images of DIRECTORY: <host>/DIRECTORY/<image>:<tag>
    location ^~ /v2/DIRECTORY/ {
        error_page 404 = @name_unknown;
        location ~ "^/v2/PATTERN/(?<packrat_image>IMAGE)/manifests/(?<packrat_ref>REFERENCE)$" {
            # A tag is a link to the directory of its manifest. No link by another owner is followed.
            root "ROOT/DIRECTORY/v2/$packrat_image/_refs/$packrat_ref";
            disable_symlinks if_not_owner "from=ROOT";
            types {
TYPES
            }
            add_header Cache-Control $packrat_caching;
            add_header Docker-Content-Digest $packrat_digest;
            try_files TRIED @manifest_unknown;
        }
        location ~ "^/v2/PATTERN/(?<packrat_image>IMAGE)/blobs/(?<packrat_ref>DIGEST)$" {
            types { }
            add_header Cache-Control "IMMUTABLE";
            add_header Docker-Content-Digest $packrat_ref;
            try_files /DIRECTORY/v2/$packrat_image/blobs/$packrat_ref @blob_unknown;
        }
        location ~ "^/v2/PATTERN/(?<packrat_image>IMAGE)/tags/list$" {
            types { }
            default_type application/json;
            try_files /DIRECTORY/v2/$packrat_image/tags/list @name_unknown;
        }
        location ~ "^/v2/PATTERN/(?<packrat_image>IMAGE)/referrers/(?<packrat_ref>DIGEST)$" {
            types { }
            default_type application/vnd.oci.image.index.v1+json;
            try_files /DIRECTORY/v2/$packrat_image/referrers/$packrat_ref @no_referrers;
        }
        location = /v2/DIRECTORY/_catalog {
            types { }
            default_type application/json;
            try_files /DIRECTORY/v2/_catalog @name_unknown;
        }
        return 404;
    }
    location ^~ /extensions/v2/DIRECTORY/ {
        types { }
        default_type application/json;
        location ~ "^/extensions/v2/PATTERN/(?<packrat_image>IMAGE)/signatures/(?<packrat_ref>DIGEST)$" {
            try_files /DIRECTORY/extensions/v2/$packrat_image/signatures/$packrat_ref @manifest_unknown;
        }
        return 404;
    }
"""

_APACHE_SHARED = """\
    # What a registry says of names that it does not know, unless a rule further down says more.
    <LocationMatch "^/v2/">
        ErrorDocument 404 /v2/DIRECTORY/_errors/name_unknown.json
        <If "%{REQUEST_METHOD} !~ m#^(GET|HEAD)$#">
            ErrorDocument 404 'READ_ONLY'
            ErrorDocument 405 'READ_ONLY'
            Header always set Content-Type application/json
        </If>
    </LocationMatch>
"""

_APACHE = """\
    # The images of DIRECTORY: <host>/DIRECTORY/<image>:<tag>
    AliasMatch "^/v2/$" "ROOT/DIRECTORY/v2/index.html"
    Alias "/HOST_CATALOG" "ROOT/HOST_CATALOG"
    Alias "/NO_REFERRERS" "ROOT/NO_REFERRERS"
    Alias "/v2/DIRECTORY/" "ROOT/DIRECTORY/v2/"
    Alias "/extensions/v2/DIRECTORY/" "ROOT/DIRECTORY/extensions/v2/"
    <Directory "ROOT/DIRECTORY/v2/">
        # The agent writes the types and digests of manifests into .htaccess files.
        AllowOverride FileInfo
        # A tag may end in .gz.
        RemoveEncoding .gz .tgz .Z .bz2
    </Directory>
    # At their place on disk blobs have no type: a browser runs nothing of what somebody has uploaded.
    <LocationMatch "^/PATTERN/v2/IMAGE/blobs/DIGEST$">
UPLOADED
    </LocationMatch>
    <LocationMatch "^/v2/$">
        ForceType application/json
        Header set Docker-Distribution-Api-Version "registry/2.0"
        # The agent makes this file if docker_signature_api is on.
        Header set X-Registry-Supports-Signatures "1" "expr=-f 'ROOT/SIGNATURE_API'"
    </LocationMatch>
    <LocationMatch "^/HOST_CATALOG$">
        ForceType application/json
    </LocationMatch>
    <LocationMatch "^/NO_REFERRERS$">
        ForceType application/vnd.oci.image.index.v1+json
    </LocationMatch>
    <LocationMatch "^/v2/PATTERN/(?:_errors/[a-z_]+\\.json|_catalog|IMAGE/tags/list)$|^/extensions/v2/PATTERN/">
        ForceType application/json
    </LocationMatch>
    <LocationMatch "^/v2/PATTERN/IMAGE/referrers/DIGEST$">
        ForceType application/vnd.oci.image.index.v1+json
        # Apache looks for another file only where no handler is set.
        SetHandler none
        FallbackResource /NO_REFERRERS
    </LocationMatch>
    <LocationMatch "^/v2/PATTERN/IMAGE/manifests/">
        ErrorDocument 404 /v2/DIRECTORY/_errors/manifest_unknown.json
    </LocationMatch>
    <LocationMatch "^/v2/PATTERN/IMAGE/manifests/DIGEST$">
        Header set Cache-Control "IMMUTABLE"
    </LocationMatch>
    <LocationMatch "^/v2/PATTERN/IMAGE/blobs/">
        ErrorDocument 404 /v2/DIRECTORY/_errors/blob_unknown.json
    </LocationMatch>
    <LocationMatch "^/v2/PATTERN/IMAGE/blobs/(?<blob>DIGEST)$">
        ForceType application/octet-stream
        Header set Docker-Content-Digest "%{MATCH_BLOB}e"
        Header set Cache-Control "IMMUTABLE"
    </LocationMatch>
"""
