"""Components and collections that live in another process."""
