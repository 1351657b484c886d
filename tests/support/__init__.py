"""What tests share: models, oracles, results, and the command as a user types it."""

PATIENCE = 900
"""Seconds to wait for another process: what runs on a busy machine is not broken."""
