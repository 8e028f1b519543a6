"""Rates and times in words, as progress and reports show them."""


def rate(count: int, seconds: float) -> str:
    """Return the number per second."""
    if seconds <= 0:
        return "-"
    value = count / seconds
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def duration(seconds: float) -> str:
    """Return a time as ``45 s``, ``3 min`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
