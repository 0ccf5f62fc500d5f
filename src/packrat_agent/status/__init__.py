"""Reads how the mirror stands, once, and shows it as a table, to monitoring plugins and to Prometheus.

Begin with `reading.py`.
"""
