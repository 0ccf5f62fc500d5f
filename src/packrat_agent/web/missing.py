"""Tells a file that is not there from one that the system does not give at the moment.

Clients take 404 for the first: pip then installs another version, and a registry's client pulls from elsewhere.
"""

import errno

_MISSING = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
        # A link, a pipe or a socket; these are not served.
        *(errno.ELOOP, errno.EINVAL, errno.ENXIO),
    }
)


def is_missing(error: OSError) -> bool:
    """Tell whether an error means that no file or directory of this name can be served."""
    return error.errno in _MISSING
