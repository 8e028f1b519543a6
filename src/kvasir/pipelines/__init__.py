"""The two flows, ingest and answer, written against the protocols alone."""
