"""Renders the landing page and the lists of packages that it searches."""
