"""What several stores check in the same words: vectors' shape, and who made a collection."""

from __future__ import annotations

from kvasir.core.errors import CollectionError
from kvasir.core.types import Matrix


def check_vectors(collection: str, dimension: int, vectors: Matrix, rows: int) -> None:
    """Checks that there is a vector [dimension] for each row.

    Raises:
        CollectionError: The array has another shape.
    """
    if vectors.shape != (rows, dimension):
        raise CollectionError(
            f"collection '{collection}' holds vectors of dimension {dimension}, not an "
            f"array {list(vectors.shape)} for {rows}: use the embedder that made the "
            "collection, or ingest into a new one"
        )


def check_maker(
    collection: str, *, made_by: str, made_dimension: int, fingerprint: str, dimension: int
) -> None:
    """Checks that a collection is one of the present embedder's.

    Args:
        collection: Its name.
        made_by: Fingerprint of the embedder that made it; "" where it is not known.
        made_dimension: Length of its vectors.
        fingerprint: Of the present embedder; "" accepts any.
        dimension: Length of the present embedder's vectors.

    Raises:
        CollectionError: Another one made it.
    """
    if made_dimension != dimension or (fingerprint and made_by and made_by != fingerprint):
        raise CollectionError(
            f"collection '{collection}' was made by another embedder (dimension "
            f"{made_dimension}, not {dimension}; fingerprint '{made_by}', not "
            f"'{fingerprint}'): use that embedder, or ingest into a new collection"
        )


def not_ours(collection: str) -> CollectionError:
    """Returns the error for a collection that another program made."""
    return CollectionError(f"collection '{collection}' was not made by Kvasir: name another one")
