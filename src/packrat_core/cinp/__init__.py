"""Speaks CInP, the protocol of packrat servers, over HTTP.

`client.py` asks, `limits.py` bounds what an answer may be.
"""
