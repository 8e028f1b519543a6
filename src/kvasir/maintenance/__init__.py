"""Maintenance of a collection: inspecting, repairing and copying it."""
