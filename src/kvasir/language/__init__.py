"""Languages: detection and sentences, without a download at run time."""
