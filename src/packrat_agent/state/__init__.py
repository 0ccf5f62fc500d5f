"""The state database: what the agent remembers. `schema.sql` has the tables, `store.py` the way to them."""
