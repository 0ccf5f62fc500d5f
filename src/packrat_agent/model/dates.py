"""Dates that clients compare with the one they have, such as Release's Date or Last-Modified: they only rise.

rising(now_s=100, last_s=None)  # 100
rising(now_s=100, last_s=100)  # 101: published twice in a second
rising(now_s=100, last_s=500)  # 501: the clock stepped back
"""


def rising(now_s: int, last_s: int | None) -> int:
    """Give a date in epoch seconds: now, but later than the last one, also where the clock stepped back."""
    return now_s if last_s is None else max(now_s, last_s + 1)
