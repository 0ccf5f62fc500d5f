"""The commands of `packrat-server`: a module each, which `main.py` imports when the command is called."""
