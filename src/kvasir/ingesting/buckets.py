"""Lists and reads the objects of a folder of S3-compatible storage.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from kvasir.core.errors import ComponentError, FetchError, RequestError
from kvasir.s3_client import s3_client

SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class BucketObject:
    """An object of a bucket.

    Attributes:
        uri: ``s3://BUCKET/KEY``.
        key: Its name in the bucket.
        etag: The storage's tag of this version.
        size: In bytes.
        modified: Time of its last change, seconds since 1970.
    """

    uri: str
    key: str
    etag: str
    size: int
    modified: float


class BucketFolder:
    """The objects at or below ``s3://BUCKET/FOLDER``; close it, or use it in a ``with``."""

    def __init__(self, address: str) -> None:
        """Connect to nothing yet.

        Raises:
            RequestError: The address names no bucket.
            SettingsError: AWS's configuration is unusable.
        """
        self._bucket, _, folder = address.removeprefix(SCHEME).partition("/")
        if not self._bucket:
            raise RequestError(f"'{address}' names no bucket: write {SCHEME}BUCKET/FOLDER")
        self._folder = folder.strip("/")
        self._client: Any = s3_client()

    def __enter__(self) -> BucketFolder:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    @property
    def prefix(self) -> str:
        """What the URIs of all objects begin with."""
        return f"{SCHEME}{self._bucket}/{self._folder}"

    def contains(self, uri: str) -> bool:
        """Return True if a URI is that of the folder, or of an object below it."""
        return uri == self.prefix or uri.startswith(f"{self.prefix.rstrip('/')}/")

    def objects(self) -> Iterator[BucketObject]:
        """Yield the objects by name, without the empty ones that stand for folders.

        Raises:
            RequestError: There is no such bucket, or it may not be listed.
            ComponentError: The storage does not answer.
        """
        pages = self._client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._folder):
                for found in page.get("Contents", ()):
                    key, uri = found["Key"], f"{SCHEME}{self._bucket}/{found['Key']}"
                    if key.endswith("/") or not self.contains(uri):
                        continue
                    modified = found["LastModified"].timestamp()
                    yield BucketObject(uri, key, found["ETag"], found["Size"], modified)
        except ClientError as error:
            raise RequestError(f"{self.prefix} cannot be listed: {error}") from error
        except (BotoCoreError, OSError) as error:
            raise ComponentError("s3", "listing objects", str(error), kind="unreachable") from error

    def read(self, key: str) -> bytes:
        """Return the bytes of an object.

        Raises:
            FetchError: It cannot be read.
        """
        try:
            data: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError, OSError) as error:
            raise FetchError(f"it cannot be read: {error}") from error
        return data
