"""Reads archives of container images, OCI layouts and those of `docker save`.

`inspect.py` finds the image, `payload.py` checks it.
"""
