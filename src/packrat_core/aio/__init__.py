"""What coroutines need: blocking work in threads, workers, and an HTTP server with limits on slow and many clients."""
