"""Disk operations that survive crashes and follow no link: atomic writes, flushes, locks, verified reads."""
