"""The table of keys: for each key of mirror.conf its name, the field that it sets, and how its text is read.

A new key is a row here, a field in `settings`, and a paragraph in docs/configuration.md, which a test compares.
"""

from collections.abc import Callable
from dataclasses import dataclass

from packrat_agent.config import value_types as types
from packrat_agent.config.settings import PackageSigning


@dataclass(frozen=True, slots=True)
class Field:
    """One key of mirror.conf; in a section such as `repo NAME`, one for each name.

    `read` turns its text into a value, and raises ValueError. `required`: what the operator has to give; ''
    if the key has a default. `repeatable`: the key may stand several times, and the values are joined.
    """

    section: str
    key: str
    field: str
    read: Callable[[str], object]
    required: str = ""
    repeatable: bool = False


NAMED_SECTIONS = ("repo NAME", "tag NAME")
"""Sections of which there may be one for each repository, and for each tag, of the packrat server."""

FIELDS = (
    Field("packrat", "host", "url", types.read_origin, "the packrat server's host name"),
    Field("packrat", "name", "name", types.read_mirror_name, "this mirror's name on the packrat server"),
    Field("packrat", "psk", "psk", types.read_line),
    Field("packrat", "proxy", "proxy", types.read_proxy),
    Field("packrat", "no_proxy", "no_proxy", types.read_hosts),
    Field("packrat", "ca_file", "ca_file", types.read_file),
    Field("packrat", "connect_timeout", "connect_timeout_s", types.integer_between(1, 600)),
    Field("packrat", "stall_timeout", "stall_timeout_s", types.integer_between(5, 3600)),
    Field("mirror", "description", "description", types.read_line),
    Field("mirror", "root_dir", "root_dir", types.read_root, "the directory to build the repositories in"),
    Field("mirror", "gpg_sign_key", "gpg_sign_key", types.read_sign_key),
    Field("mirror", "gpg_next_key", "gpg_next_key", types.read_line),
    Field("mirror", "gpg_former_key", "gpg_former_key", types.read_line),
    Field("mirror", "gpg_retired_keys", "gpg_retired_keys", types.read_words),
    Field("mirror", "gnupg_home", "gnupg_home", types.read_path),
    Field("mirror", "passphrase_file", "passphrase_file", types.read_file),
    Field("mirror", "state_db", "state_db", types.read_file, "the path of the state database"),
    Field("mirror", "full_sync_interval", "full_sync_interval_s", types.integer_between(10, 31 * 86400)),
    Field("mirror", "keep_file_list", "keep_files", types.read_paths, repeatable=True),
    Field("mirror", "keep_file", "keep_files", types.read_paths, repeatable=True),
    Field("mirror", "grace_period", "grace_period_s", types.integer_between(0, 366 * 86400)),
    Field("mirror", "index_grace_period", "index_grace_period_s", types.integer_between(0, 366 * 86400)),
    Field("mirror", "keep_generations", "keep_generations", types.integer_between(0, 1000)),
    Field("mirror", "max_removals", "max_removals_percent", types.integer_between(0, 100)),
    Field("mirror", "max_records", "max_records", types.integer_between(1, 10_000_000)),
    Field("mirror", "parallel_downloads", "parallel_downloads", types.integer_between(1, 64)),
    Field("mirror", "download_rate_limit", "download_bytes_per_s", types.bytes_up_to(" a second", 10**12)),
    Field("mirror", "max_file_size", "max_file_bytes", types.bytes_up_to("", 10**15)),
    Field("mirror", "scan_rate_limit", "scan_bytes_per_s", types.bytes_up_to(" a second", 10**12)),
    Field("mirror", "scan_days", "scan_days", types.integer_between(0, 366)),
    Field("mirror", "apt_origin", "apt_origin", types.read_line),
    Field("mirror", "apt_label", "apt_label", types.read_line),
    Field("mirror", "apt_valid_for", "apt_valid_for_s", types.integer_between(3600, 10 * 366 * 86400)),
    Field("mirror", "yum_sign_packages", "yum_sign_packages", types.one_of(PackageSigning)),
    Field("mirror", "confirm_release_change", "confirm_release_change", types.read_words),
    Field("mirror", "public_url", "public_url", types.read_public_url),
    Field("mirror", "docker_signature_api", "docker_signature_api", types.read_switch),
    Field("mirror", "metrics_file", "metrics_file", types.read_metrics_file),
    Field("mirror", "metrics_listen", "metrics_listen", types.read_loopback),
    *(
        Field(section, key, key, read)
        for section in NAMED_SECTIONS
        for key, read in (
            ("gpg_sign_key", types.read_line),
            ("gpg_next_key", types.read_line),
            ("gpg_former_key", types.read_line),
            ("gpg_retired_keys", types.read_words),
        )
    ),
)
