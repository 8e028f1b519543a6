"""Names that a database accepts for collections that people may name as they like."""

from __future__ import annotations

import hashlib
import re


def accepted_name(name: str) -> str:
    """Returns a name of letters, digits and underscores: a good name itself, others changed.

    Changed names end in a digest of the original, so that no two collections share one.
    """
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{1,61}[A-Za-z0-9]", name, re.ASCII) and "__" not in name:
        return name
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name, flags=re.ASCII).strip("_")[:40] or "collection"
    return f"c_{plain}__{hashlib.blake2b(name.encode(), digest_size=5).hexdigest()}"
