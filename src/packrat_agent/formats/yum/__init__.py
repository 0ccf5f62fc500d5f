"""Renders yum repositories."""
