"""What is indexed: sources, versions, chunks, and the doctor."""
