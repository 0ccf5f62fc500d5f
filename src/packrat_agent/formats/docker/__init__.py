"""Renders docker repositories: a registry of files."""
