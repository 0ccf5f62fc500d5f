"""Reads package files, a folder for each kind: what a file is, what makes it unusable, how versions are sorted."""
