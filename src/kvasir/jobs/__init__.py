"""Durable jobs in the database, and the spool of uploaded bytes."""
