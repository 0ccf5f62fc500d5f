"""Renders repositories of any files, with a manifest and checksums."""
