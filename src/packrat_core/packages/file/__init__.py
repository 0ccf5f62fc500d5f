"""Checks files of no package type: archives are unpacked to their end."""
