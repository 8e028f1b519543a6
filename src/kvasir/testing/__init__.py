"""Fakes and contract suites, shipped for the authors of plug-ins."""
