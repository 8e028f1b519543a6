"""Reads objects of S3."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from kvasir.core.errors import ComponentError, TooLargeError
from kvasir.frontends.aws_lambda.objects import Change
from kvasir.s3_client import s3_client

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchBucket"})


class Bucket:
    """Reads objects; the client is made for the first one, after a snapshot was restored."""

    def __init__(self, *, max_bytes: int) -> None:
        """Connect to nothing yet."""
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    @cached_property
    def _client(self) -> Any:
        return s3_client()

    def read(self, change: Change) -> bytes | None:
        """Return an object's bytes; None if there is no such object.

        Raises:
            TooLargeError: It is larger than an upload may be.
            ComponentError: S3 cannot be reached, or refuses.
            SettingsError: AWS's configuration is unusable.
        """
        with self._lock:
            client = self._client
        uri = change.source.uri
        try:
            found = client.get_object(Bucket=change.bucket, Key=change.key)
            if found["ContentLength"] > self._max_bytes:
                raise TooLargeError(f"{uri} is larger than {self._max_bytes >> 20} MB")
            data: bytes = found["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise ComponentError("s3", "reading an object", f"{uri}: {error}") from error
        except BotoCoreError as error:
            raise ComponentError(
                "s3", "reading an object", f"{uri}: {error}", kind="unreachable"
            ) from error
        return data
