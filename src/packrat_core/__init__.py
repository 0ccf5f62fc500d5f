"""The code that agent and server share; it imports neither. The version of the project stands here."""

__version__ = "0.1.0"
