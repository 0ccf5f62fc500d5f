"""Renders PyPI repositories: a page for each project."""
