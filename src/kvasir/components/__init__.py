"""Implementations of the roles in ``kvasir.core.protocols``; loaded by name only."""
