"""Says which modules are mutated, and which tests should notice: the closest file first, since a failure ends a run.

The tests of a module stand where the module stands, so that file comes first without being named here. `TESTS` adds
what else holds the module, or a whole folder, and names the closest tests of what has no file of its own.
"""

from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"

MUTATED: tuple[str, ...] = (
    "packrat_core/archives/",
    "packrat_core/cinp/",
    "packrat_core/fs/",
    "packrat_core/packages/",
    "packrat_agent/config/",
    "packrat_agent/formats/",
    "packrat_agent/gpg/",
    "packrat_agent/model/",
    "packrat_agent/publish/",
    "packrat_agent/state/",
    "packrat_agent/status/",
    "packrat_agent/sync/",
    "packrat_agent/upstream/",
    "packrat_agent/verify/",
    "packrat_agent/web/",
    "packrat_server/accounts/",
    "packrat_server/promotion/",
    "packrat_server/store/",
    "packrat_server/api/",
    "packrat_server/inspect_file.py",
    "packrat_server/latest.py",
)
"""Folders and modules that decide what is believed, published, removed or given away."""

TESTS: dict[str, tuple[str, ...]] = {
    "packrat_core/archives/ar.py": ("tests/core/packages/deb/test_read_deb.py",),
    "packrat_core/archives/plain_stream.py": ("tests/core/archives/test_compressed_stream.py",),
    "packrat_core/archives/tar.py": ("tests/core/archives/test_tar_reader.py",),
    "packrat_core/archives/tar_header.py": ("tests/core/archives/test_tar_reader.py",),
    "packrat_core/archives/tar_source.py": ("tests/core/archives/test_tar_reader.py",),
    "packrat_core/archives/zip_directory.py": ("tests/core/archives/test_zip_archive.py",),
    "packrat_core/archives/zip_": ("tests/core/archives/test_zip_differential.py",),
    "packrat_core/archives/": (
        "tests/core/archives/test_limits.py",
        "tests/core/archives/test_directory_names.py",
        "tests/core/archives/test_tar_reader.py",
        "tests/core/archives/test_tar_differential.py",
        "tests/core/packages/test_unpack_differential.py",
    ),
    "packrat_core/cinp/download.py": ("tests/agent/sync/fetch/test_download.py",),
    "packrat_core/cinp/line_stream.py": ("tests/agent/upstream/test_change_feed.py",),
    "packrat_core/cinp/listing.py": ("tests/agent/upstream/test_listing.py",),
    "packrat_core/cinp/rate_limit.py": ("tests/core/cinp/test_route.py",),
    "packrat_core/cinp/session.py": ("tests/agent/upstream/test_sessions.py",),
    "packrat_core/cinp/": (
        "tests/agent/upstream/test_client.py",
        "tests/agent/upstream/test_recorded_answers.py",
        "tests/network/test_failures.py",
        "tests/hostile/test_answers.py",
    ),
    "packrat_core/fs/file_times.py": ("tests/hostile/test_times.py",),
    "packrat_core/fs/links.py": ("tests/core/fs/test_remove_tree.py",),
    "packrat_core/fs/locks.py": ("tests/core/fs/test_safe_open.py", "tests/agent/publish/test_claim.py"),
    "packrat_core/fs/open.py": ("tests/core/fs/test_safe_open.py",),
    "packrat_core/fs/mounts.py": ("tests/agent/publish/test_mounts.py", "tests/server/test_network_disk.py"),
    "packrat_core/fs/system_errors.py": ("tests/core/test_errors.py",),
    "packrat_core/fs/": ("tests/core/fs/test_disk.py", "tests/agent/publish/test_writer.py"),
    "packrat_core/packages/deb/control.py": ("tests/core/packages/deb/test_read_deb.py",),
    "packrat_core/packages/deb/architectures.py": ("tests/core/packages/test_architectures.py",),
    "packrat_core/packages/deb/payload.py": ("tests/core/packages/test_payload_differential.py",),
    "packrat_core/packages/deb/versions.py": ("tests/server/test_latest.py",),
    "packrat_core/packages/deb/": (
        "tests/core/packages/deb/test_stanza.py",
        "tests/agent/formats/apt/test_render.py",
        "tests/core/packages/test_payload_differential.py",
        "tests/core/packages/test_unpack_differential.py",
        "tests/core/packages/deb/test_relations.py",
        "tests/core/packages/deb/test_read_deb.py",
    ),
    "packrat_core/packages/rpm/architectures.py": ("tests/core/packages/test_architectures.py",),
    "packrat_core/packages/rpm/contents.py": ("tests/core/packages/rpm/test_contents.py",),
    "packrat_core/packages/rpm/cpio.py": ("tests/core/packages/rpm/test_contents.py",),
    "packrat_core/packages/rpm/file_list.py": (
        "tests/core/packages/rpm/test_file_list.py",
        "tests/core/packages/rpm/test_contents.py",
    ),
    "packrat_core/packages/rpm/header.py": (
        "tests/core/packages/rpm/test_header_entries.py",
        "tests/core/packages/rpm/test_digests.py",
    ),
    "packrat_core/packages/rpm/payload.py": (
        "tests/core/packages/test_payload_differential.py",
        "tests/core/packages/rpm/test_digests.py",
    ),
    "packrat_core/packages/rpm/payload_files.py": ("tests/core/packages/rpm/test_contents.py",),
    "packrat_core/packages/rpm/rules.py": ("tests/core/packages/rpm/test_file_list.py",),
    "packrat_core/packages/rpm/signatures.py": ("tests/clients/test_rpm_signatures.py",),
    "packrat_core/packages/rpm/versions.py": ("tests/server/test_latest.py",),
    "packrat_core/packages/rpm/": (
        "tests/core/packages/rpm/test_read_rpm.py",
        "tests/agent/formats/yum/test_render.py",
        "tests/core/packages/test_payload_differential.py",
        "tests/clients/test_rpm_signatures.py",
    ),
    "packrat_core/packages/python/metadata.py": ("tests/core/packages/python/test_metadata_differential.py",),
    "packrat_core/packages/python/names_inside.py": ("tests/core/packages/python/test_inspect.py",),
    "packrat_core/packages/python/placed_metadata.py": ("tests/core/packages/python/test_placed_metadata.py",),
    "packrat_core/packages/python/payload.py": ("tests/core/packages/test_payload_differential.py",),
    "packrat_core/packages/python/requirements.py": (
        "tests/core/packages/python/test_requirements_differential.py",
        "tests/agent/formats/pypi/test_render.py",
    ),
    "packrat_core/packages/python/versions.py": ("tests/server/test_latest.py",),
    "packrat_core/packages/python/": (
        "tests/core/packages/python/test_inspect.py",
        "tests/server/test_inspect_python.py",
        "tests/core/packages/python/test_file_names.py",
        "tests/core/packages/test_unpack_differential.py",
        "tests/core/packages/python/test_metadata_differential.py",
        "tests/core/packages/test_payload_differential.py",
    ),
    "packrat_core/packages/image/archive.py": ("tests/core/packages/image/test_layout.py",),
    "packrat_core/packages/image/inspect.py": ("tests/server/test_inspect_image.py",),
    "packrat_core/packages/image/referrers.py": ("tests/core/packages/image/test_manifest.py",),
    "packrat_core/packages/deb/data_members.py": ("tests/core/packages/deb/test_payload.py",),
    "packrat_core/packages/deb/dpkg_fields.py": ("tests/core/packages/deb/test_dpkg_fields.py",),
    "packrat_core/packages/image/layer.py": ("tests/core/packages/image/test_layer.py",),
    "packrat_core/packages/image/payload.py": ("tests/core/packages/test_payload_differential.py",),
    "packrat_core/packages/image/versions.py": ("tests/server/test_latest.py",),
    "packrat_core/packages/image/": (
        "tests/agent/formats/docker/test_unpack.py",
        "tests/core/packages/image/test_names.py",
        "tests/agent/formats/docker/test_render.py",
        "tests/agent/formats/docker/test_two_signers.py",
        "tests/server/test_inspect_image.py",
        "tests/core/packages/test_payload_differential.py",
    ),
    "packrat_core/packages/": ("tests/server/test_latest.py", "tests/project/test_completeness.py"),
    "packrat_agent/config/": (
        "tests/agent/config/test_config.py",
        "tests/agent/config/test_section_keys.py",
        "tests/agent/config/test_warnings.py",
        "tests/agent/config/test_host.py",
        "tests/agent/config/test_root_dir.py",
        "tests/agent/config/test_any_text.py",
    ),
    "packrat_agent/formats/apt/": ("tests/agent/formats/apt/test_render.py",),
    "packrat_agent/formats/docker/image_": ("tests/agent/formats/docker/test_render.py",),
    "packrat_agent/formats/docker/": (
        "tests/agent/formats/docker/test_render.py",
        "tests/agent/formats/docker/test_two_signers.py",
        "tests/agent/formats/docker/test_unpack.py",
    ),
    "packrat_agent/formats/json/": ("tests/agent/formats/json/test_render.py",),
    "packrat_agent/formats/pypi/projects.py": (
        "tests/agent/formats/pypi/test_projects.py",
        "tests/agent/formats/pypi/test_render.py",
    ),
    "packrat_agent/formats/pypi/": (
        "tests/agent/formats/pypi/test_render.py",
        "tests/agent/formats/pypi/test_projects.py",
        "tests/agent/formats/pypi/test_yanked.py",
    ),
    "packrat_agent/formats/yum/": ("tests/agent/formats/yum/test_render.py",),
    "packrat_agent/formats/index_shards.py": ("tests/agent/formats/test_sharded_index.py",),
    "packrat_agent/formats/": ("tests/agent/formats/test_changed_index.py", "tests/agent/formats/test_every_type.py"),
    "packrat_agent/gpg/back_up.py": ("tests/agent/gpg/test_remote_agent.py",),
    "packrat_agent/gpg/new_key.py": ("tests/agent/cli/test_key.py", "tests/agent/gpg/test_full_disk.py"),
    "packrat_agent/gpg/public_keys.py": ("tests/agent/gpg/test_key_files.py",),
    "packrat_agent/gpg/rotation.py": ("tests/agent/gpg/test_signers.py",),
    "packrat_agent/gpg/rpm_signature_header.py": ("tests/agent/gpg/test_rpmsign.py",),
    "packrat_agent/gpg/verify.py": ("tests/agent/gpg/test_clear_message.py", "tests/agent/gpg/test_verdict.py"),
    "packrat_agent/gpg/": (
        "tests/agent/gpg/test_keyring.py",
        "tests/agent/gpg/test_verify.py",
        "tests/agent/gpg/test_key_warnings.py",
        "tests/agent/gpg/test_wrong_signature.py",
    ),
    "packrat_agent/model/": ("tests/agent/formats/test_every_type.py", "tests/agent/formats/test_changed_index.py"),
    "packrat_agent/publish/claim.py": ("tests/hostile/test_forged.py",),
    "packrat_agent/publish/signing.py": ("tests/agent/gpg/test_wrong_signature.py",),
    "packrat_agent/publish/walk.py": ("tests/agent/publish/test_mounts.py",),
    "packrat_agent/publish/": (
        "tests/agent/publish/test_scan_and_gc.py",
        "tests/agent/publish/test_scan_slices.py",
        "tests/agent/publish/test_mounts.py",
        "tests/agent/publish/test_writer.py",
        "tests/agent/publish/test_pointers.py",
        "tests/agent/sync/test_roll_forward.py",
        "tests/crash/test_flush_order.py",
    ),
    "packrat_agent/state/file_state.py": ("tests/agent/state/test_settled_files.py",),
    "packrat_agent/state/fragments.py": ("tests/agent/state/test_take_over.py",),
    "packrat_agent/state/generations.py": ("tests/agent/state/test_retention.py",),
    "packrat_agent/state/lock_files.py": (
        "tests/agent/state/test_unwritten.py",
        "tests/agent/status/test_lock_holder.py",
    ),
    "packrat_agent/state/published.py": ("tests/agent/state/test_live_files.py",),
    "packrat_agent/state/removals.py": ("tests/agent/sync/planning/test_removals.py",),
    "packrat_agent/state/settled.py": ("tests/agent/state/test_settled_files.py",),
    "packrat_agent/state/steady_clock.py": ("tests/agent/sync/planning/test_removals.py",),
    "packrat_agent/state/": (
        "tests/agent/state/test_state.py",
        "tests/agent/state/test_live_files.py",
        "tests/agent/publish/test_scan_and_gc.py",
        "tests/agent/sync/test_build.py",
        "tests/daemon/test_withdrawal.py",
    ),
    "packrat_agent/status/": (
        "tests/agent/status/test_status.py",
        "tests/agent/status/test_table.py",
        "tests/agent/status/test_nagios.py",
        "tests/agent/status/test_prometheus.py",
        "tests/agent/status/test_every_error.py",
        "tests/agent/status/test_disks.py",
        "tests/agent/status/test_unreadable_database.py",
    ),
    "packrat_agent/sync/planning/account_for.py": ("tests/agent/sync/planning/test_ask.py",),
    "packrat_agent/sync/belongings.py": ("tests/crash/test_belongings.py", "tests/daemon/test_takeover.py"),
    "packrat_agent/sync/build_repo.py": ("tests/daemon/test_change_syncs.py",),
    "packrat_agent/sync/commit.py": ("tests/agent/sync/landing/test_package_lists.py",),
    "packrat_agent/sync/fetch/download.py": (
        "tests/agent/sync/fetch/test_bundles.py",
        "tests/agent/sync/fetch/test_copies_at_hand.py",
    ),
    "packrat_agent/sync/dry_run.py": ("tests/daemon/test_sync_summary.py", "tests/agent/sync/planning/test_ask.py"),
    "packrat_agent/sync/noted_sync.py": ("tests/agent/sync/planning/test_no_news.py",),
    "packrat_agent/sync/fetch/partial_file.py": ("tests/agent/sync/fetch/test_download.py",),
    "packrat_agent/sync/place_ahead.py": ("tests/daemon/test_place_ahead.py",),
    "packrat_agent/sync/planning/plan_repo.py": (
        "tests/daemon/test_place_ahead.py",
        "tests/agent/sync/planning/test_no_news.py",
    ),
    "packrat_agent/sync/planning/reconcile_portions.py": (
        "tests/agent/sync/planning/test_reconcile.py",
        "tests/daemon/test_python_full_syncs.py",
    ),
    "packrat_agent/sync/takeover/losses.py": ("tests/daemon/test_takeover.py",),
    "packrat_agent/sync/": (
        "tests/agent/sync/test_build.py",
        "tests/agent/sync/test_roll_forward.py",
        "tests/daemon/test_change_syncs.py",
        "tests/daemon/test_full_sync.py",
        "tests/hostile/test_answers.py",
    ),
    "packrat_agent/upstream/bundles.py": ("tests/agent/sync/fetch/test_bundles.py",),
    "packrat_agent/upstream/login.py": ("tests/agent/upstream/test_sessions.py",),
    "packrat_agent/upstream/package_files.py": ("tests/agent/upstream/test_records.py",),
    "packrat_agent/upstream/": (
        "tests/agent/upstream/test_client.py",
        "tests/agent/upstream/test_records.py",
        "tests/agent/upstream/test_recorded_answers.py",
        "tests/agent/sync/planning/test_ask.py",
        "tests/hostile/test_records.py",
        "tests/daemon/test_change_syncs.py",
    ),
    "packrat_agent/verify/apt.py": ("tests/agent/verify/test_verify_apt.py",),
    "packrat_agent/verify/armor.py": ("tests/agent/verify/test_verify_spelling.py",),
    "packrat_agent/verify/check_file": ("tests/agent/verify/test_processes.py",),
    "packrat_agent/verify/docker": (
        "tests/agent/verify/test_verify_image_signatures.py",
        "tests/agent/verify/test_verify_referrers.py",
        "tests/agent/verify/test_verify_names.py",
    ),
    "packrat_agent/verify/early_checks.py": ("tests/agent/verify/test_processes.py",),
    "packrat_agent/verify/process": ("tests/agent/verify/test_early_checks.py",),
    "packrat_agent/verify/pypi": (
        "tests/agent/verify/test_verify_spelling.py",
        "tests/agent/verify/test_verify_yanked.py",
    ),
    "packrat_agent/verify/package_lists.py": ("tests/agent/verify/test_verify_package_lists.py",),
    "packrat_agent/verify/read_": ("tests/agent/verify/test_audit_reading.py",),
    "packrat_agent/verify/real_clients.py": ("tests/daemon/test_verify_clients.py",),
    "packrat_agent/verify/repo_keys.py": ("tests/daemon/test_verify_old_keys.py",),
    "packrat_agent/verify/rpm": ("tests/clients/test_rpm_signatures.py",),
    "packrat_agent/verify/site.py": ("tests/agent/verify/test_verify_landing_page.py",),
    "packrat_agent/verify/signatures.py": (
        "tests/agent/verify/test_audit_reading.py",
        "tests/agent/verify/test_packages.py",
    ),
    "packrat_agent/verify/withdrawn.py": ("tests/daemon/test_verify_withdrawn.py",),
    "packrat_agent/verify/": (
        "tests/agent/verify/test_tree.py",
        "tests/agent/verify/test_packages.py",
        "tests/agent/verify/test_verify_apt.py",
        "tests/agent/verify/test_verify_package_lists.py",
        "tests/daemon/test_verify_types.py",
        "tests/daemon/test_verify.py",
    ),
    "packrat_agent/web/": ("tests/agent/web/test_static.py",),
    "packrat_server/accounts/login_": ("tests/server/test_login_delays.py",),
    "packrat_server/accounts/": (
        "tests/server/test_rights.py",
        "tests/server/test_permissions.py",
        "tests/server/test_strangers.py",
        "tests/server/test_public.py",
    ),
    "packrat_server/promotion/retention.py": ("tests/server/test_housekeeping.py",),
    "packrat_server/promotion/rules.py": ("tests/server/test_promotion_rules.py",),
    "packrat_server/promotion/": (
        "tests/server/test_promotion.py",
        "tests/server/test_refused_changes.py",
        "tests/server/test_package_source.py",
        "tests/server/test_long_list.py",
        "tests/server/test_housekeeping.py",
    ),
    "packrat_server/store/blobs.py": ("tests/server/test_damaged_data.py",),
    "packrat_server/store/postgresql.py": ("tests/server/test_sessions_of_postgresql.py",),
    "packrat_server/store/journal.py": ("tests/server/test_change_stream.py",),
    "packrat_server/store/": (
        "tests/server/test_opening.py",
        "tests/server/test_housekeeping.py",
        "tests/server/test_writers.py",
        "tests/server/test_changes.py",
        "tests/server/test_damaged_data.py",
    ),
    "packrat_server/api/change_batch.py": ("tests/server/test_change_stream.py",),
    "packrat_server/api/change_": ("tests/server/test_change_stream.py", "tests/server/test_changes.py"),
    "packrat_server/api/call.py": ("tests/server/test_ended_meanwhile.py",),
    "packrat_server/api/file_actions.py": ("tests/server/test_several_objects.py",),
    "packrat_server/api/verbs.py": ("tests/server/test_several_objects.py",),
    "packrat_server/api/": (
        "tests/server/test_wire.py",
        "tests/server/test_bad_input.py",
        "tests/server/test_permissions.py",
        "tests/server/test_malformed.py",
        "tests/server/test_files.py",
        "tests/server/test_flood.py",
        "tests/server/test_held_up.py",
    ),
    "packrat_server/inspect_file.py": (
        "tests/server/test_inspect_python.py",
        "tests/server/test_inspect_image.py",
        "tests/server/test_refused_changes.py",
    ),
}
"""The beginning of a module's path below src → its tests; a module has those of all rows that it falls under."""


def find_tests(module: str) -> tuple[str, ...]:
    """The files of tests that should notice a change of a module, in the order in which to ask them."""
    rows = (tests for place, tests in TESTS.items() if module.startswith(place))
    return tuple(dict.fromkeys((*_own_tests(module), *(name for tests in rows for name in tests))))


def mutated_modules() -> Iterator[str]:
    """The paths of all modules that are mutated, below src."""
    for place in MUTATED:
        path = SRC / place
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            yield str(file.relative_to(SRC))


def _own_tests(module: str) -> Iterator[str]:
    """The file of tests that is called as the module, and stands where it stands or, in few folders, at their top."""
    package, _, inside = module.removesuffix(".py").partition("/")
    folder, _, name = inside.rpartition("/")
    top = Path("tests", package.removeprefix("packrat_"))
    for own in dict.fromkeys((top / folder / f"test_{name}.py", top / f"test_{name}.py")):
        if (SRC.parent / own).exists():
            yield str(own)
