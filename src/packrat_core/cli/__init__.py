"""What both command lines need: groups that import a command to call it, errors in a sentence, types of options."""
