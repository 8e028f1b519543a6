"""Front doors: each parses, calls the app and renders."""
