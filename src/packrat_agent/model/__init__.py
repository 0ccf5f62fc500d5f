"""The values that travel between the rooms of the agent, from the server's records to the published tree."""
