"""Renders apt repositories."""
