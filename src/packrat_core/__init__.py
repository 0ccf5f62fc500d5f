"""What the agent and the server share: readers and rules that import neither of them."""
