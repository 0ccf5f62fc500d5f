"""The demo, its builders of small package files, and its proofs by real clients; tests use the builders, too."""
