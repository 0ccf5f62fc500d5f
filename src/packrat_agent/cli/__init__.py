"""The commands of `packrat-agent`: a module each, which `main.py` imports when the command is called."""
