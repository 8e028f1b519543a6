"""Search engines of the internet, one file per engine."""

EXTRAS = {"ddgs": "web"}
