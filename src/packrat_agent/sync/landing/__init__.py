"""Publishes the landing page and its lists of packages as the syncs have left them."""
