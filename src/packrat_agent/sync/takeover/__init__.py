"""Takes over the tree of the original packrat agent, and tells beforehand what clients would lose."""
