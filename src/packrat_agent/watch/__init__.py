"""The running agent: hears of changes, keeps the work queue, decides when to sync, obeys signals and systemd.

Begin with `agent.py`.
"""
