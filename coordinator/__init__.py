"""The session over all symbols: validate, plan, provision, load, run, end, teardown."""
