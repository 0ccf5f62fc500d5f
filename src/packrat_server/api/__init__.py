"""Answers the requests of mirrors, uploaders and monitoring.

`schema.py` describes the API, `permissions.py` says who may call what, and `verbs.py` runs the function that answers.
"""
