"""Finds out what a sync has to do: asks the server, compares with the disk, holds back removals, makes the plan."""
