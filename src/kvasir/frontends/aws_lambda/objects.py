"""What events of S3 and messages name.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html,
https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from kvasir.core.errors import RequestError
from kvasir.core.types import Source

_DETAILS = frozenset({"Object Created", "Object Deleted"})


@dataclass(frozen=True, slots=True)
class Change:
    """An object that may have changed, an address to index, or a list to follow.

    Attributes:
        bucket: The object's bucket; empty for an address.
        key: Its key.
        url: The address.
        collection: Where it is indexed; by default as the settings say.
        listing: ``s3://BUCKET/FOLDER``, or the address of a sitemap.
    """

    bucket: str = ""
    key: str = ""
    url: str = ""
    collection: str = ""
    listing: str = ""

    @property
    def source(self) -> Source:
        """The object as a source; its type is known by its name."""
        return Source(f"s3://{self.bucket}/{self.key}", "")


def changes_of(event: Mapping[str, Any]) -> list[Change] | None:
    """Return what an event is about; None if it is not of S3, also by SNS, nor names what to index.

    Raises:
        RequestError: A part of it is missing.
    """
    if event.get("Event") == "s3:TestEvent":
        return []
    try:
        if event.get("source") == "aws.s3" and event.get("detail-type") in _DETAILS:
            detail = event["detail"]
            return [Change(detail["bucket"]["name"], detail["object"]["key"])]
        if "Records" not in event and ("url" in event or "sync" in event):
            collection = _text(event.get("collection", ""))
            if "url" in event:
                return [Change(url=_text(event["url"]), collection=collection)]
            return [Change(listing=_listing(event["sync"]), collection=collection)]
        records = event.get("Records")
        if records and all(each.get("EventSource") == "aws:sns" for each in records):
            messages = [changes_of_message(each["Sns"]["Message"]) for each in records]
            return [change for message in messages for change in message]
        if not records or any(each.get("eventSource") != "aws:s3" for each in records):
            return None
        return [
            Change(each["s3"]["bucket"]["name"], unquote_plus(each["s3"]["object"]["key"]))
            for each in records
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"the event is malformed: {error!r}") from None


def changes_of_message(body: str) -> list[Change]:
    """Return what a message of SQS or SNS asks for.

    Raises:
        RequestError: It is no JSON, or names nothing to index.
    """
    try:
        event = json.loads(body)
    except ValueError as error:
        raise RequestError(f"the message is no JSON: {error}") from None
    if isinstance(event, dict) and event.get("Type") == "Notification" and "Message" in event:
        return changes_of_message(str(event["Message"]))  # SNS through SQS
    changes = changes_of(event) if isinstance(event, dict) else None
    if changes is None:
        raise RequestError("the message is neither an event of S3 nor has it a 'url' or 'sync'")
    return changes


def _listing(value: object) -> str:
    """Return the address of a list; a file of the instance is none."""
    if not _text(value).lower().startswith(("s3://", "http://", "https://")):
        raise RequestError(f"'{value}' is neither a bucket nor the address of a sitemap")
    return _text(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
