"""Runs the server: its connections and their limits, housekeeping, and changes that other processes make."""
