"""Brings package files into staging: downloads, bundles of small files, and copies of what is on disk already."""
