"""Checks shared by stores: the vectors' shape, the collection's embedder and its name."""

from __future__ import annotations

import hashlib
import re

from kvasir.core.errors import ConflictError, WrongEmbedderError
from kvasir.core.types import Matrix


def check_vectors(collection: str, dimension: int, vectors: Matrix, rows: int) -> None:
    """Check that there is a vector [dimension] for each row.

    Raises:
        WrongEmbedderError: The array has another shape.
    """
    if vectors.shape != (rows, dimension):
        raise WrongEmbedderError(
            f"collection '{collection}' holds vectors of dimension {dimension}, not an "
            f"array {list(vectors.shape)} for {rows}: use the embedder that made the "
            "collection, or ingest into a new one"
        )


def check_maker(
    collection: str,
    *,
    stored_fingerprint: str,
    stored_dimension: int,
    fingerprint: str,
    dimension: int,
) -> None:
    """Check that the present embedder made a collection; an empty fingerprint matches any.

    Raises:
        WrongEmbedderError: Another one made it.
    """
    if stored_dimension != dimension or (
        fingerprint and stored_fingerprint and stored_fingerprint != fingerprint
    ):
        raise WrongEmbedderError(
            f"collection '{collection}' was made by another embedder (dimension "
            f"{stored_dimension}, not {dimension}; fingerprint '{stored_fingerprint}', not "
            f"'{fingerprint}'): use that embedder, or ingest into a new collection"
        )


def not_ours(collection: str) -> ConflictError:
    """Return the error for a collection that another program made."""
    return ConflictError(f"collection '{collection}' was not made by Kvasir: name another one")


def accepted_name(name: str) -> str:
    """Return a name of letters, digits and underscores, unchanged if possible.

    Changed names end in a digest of the original, so that no two collections share one.
    """
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{1,61}[A-Za-z0-9]", name, re.ASCII) and "__" not in name:
        return name
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name, flags=re.ASCII).strip("_")[:40] or "collection"
    return f"c_{plain}__{hashlib.blake2b(name.encode(), digest_size=5).hexdigest()}"
