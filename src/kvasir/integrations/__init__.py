"""Bridges to other frameworks; each needs the extra of the same name."""
