"""Renders the repositories, a folder for each type. `interface.py` says what a type must do, `table.py` lists them."""
