"""The signing keys: finding, making and rotating them, signing and verifying. `run.py` alone starts gpg."""
