"""Reads Debian packages. `control.py` finds the control file, `payload.py` checks the whole package."""
