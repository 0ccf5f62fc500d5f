"""The keys that sign during a sync: found, kept between syncs, and noted as they are rotated."""
