"""The queue of questions behind a Kvasir server, for a worker on another machine.

Each call is one request: ``GET /receive-prompt`` takes the lease, and the routes of the question
give the answer back with the lease's token.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from kvasir.core.errors import (
    ComponentError,
    KvasirError,
    NotAuthenticatedError,
    SettingsError,
)
from kvasir.core.services.questions import ClaimedQuestion, Question
from kvasir.core.types import Answer
from kvasir.core.wire import from_json, to_json

_NAME = "Kvasir server"
_LOST = (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND)
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class RemoteQuestions:
    """What an answering worker needs of the queue, by HTTP. See ``QuestionSource``."""

    def __init__(self, url: str, api_key: str, *, timeout: float = 30.0) -> None:
        """Connect when it is first used.

        Args:
            url: The server, such as ``https://kb.example.org``.
            api_key: A key with the scope ``answering``.
            timeout: Seconds to wait for a reply.

        Raises:
            SettingsError: The address is unusable.
        """
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"'{url}' is not an address such as https://kb.example.org")
        self._url = url.rstrip("/")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {api_key}"}, timeout=timeout, trust_env=False
        )

    def claim(self, *, lease_seconds: float) -> ClaimedQuestion | None:
        """Take the oldest question."""
        reply = self._request("GET", "/receive-prompt", params={"lease_seconds": lease_seconds})
        found = _content(reply)
        if found is None:
            return None
        token = found.pop("token")
        known = {key: found[key] for key in found.keys() - {"_id", "lease_seconds"}}
        return ClaimedQuestion(from_json(Question, {"email": "", "user_id": 0} | known), token)

    def heartbeat(self, question_id: str, token: str, *, lease_seconds: float) -> bool:
        """Prolong the lease."""
        return self._give(question_id, "heartbeat", token, {"lease_seconds": lease_seconds})

    def answer(self, question_id: str, token: str, answer: Answer) -> bool:
        """Record the answer."""
        return self._give(question_id, "answer", token, {"answer": to_json(answer)})

    def fail(self, question_id: str, token: str, reason: str, *, retry_after: float | None) -> bool:
        """Record a failure."""
        content = {"reason": reason[:2000], "retry_after": retry_after}
        return self._give(question_id, "fail", token, content)

    def release(self, question_id: str, token: str, *, retry_after: float = 0.0) -> None:
        """Give a question back."""
        content = {"retry_after": retry_after} if retry_after else {}
        self._give(question_id, "release", token, content)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _give(self, question_id: str, what: str, token: str, content: Mapping[str, Any]) -> bool:
        path = f"/v1/questions/{quote(question_id, safe='')}/{what}"
        reply = self._request("POST", path, json={"token": token, **content}, accepted=_LOST)
        return reply.status_code not in _LOST

    def _request(
        self, method: str, path: str, *, accepted: tuple[int, ...] = (), **content: Any
    ) -> httpx.Response:
        try:
            reply = self._client.request(method, f"{self._url}{path}", **content)
        except httpx.TimeoutException as error:
            raise ComponentError(_NAME, path, self._url, kind="timeout") from error
        except httpx.HTTPError as error:
            raise ComponentError(
                _NAME, path, f"{self._url}: {error}", kind="unreachable"
            ) from error
        if reply.is_success or reply.status_code in accepted:
            return reply
        raise _error(reply, self._url, path)


def _error(reply: httpx.Response, url: str, path: str) -> KvasirError:
    try:
        detail = str(reply.json()["detail"])[:300]
    except (ValueError, KeyError, TypeError):
        detail = reply.reason_phrase
    said = f"{url} answers {reply.status_code}: {detail}"
    if reply.status_code in _REFUSED:
        return NotAuthenticatedError(f"{said}: questions.api_key needs the scope 'answering'")
    is_passing = reply.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    return ComponentError(_NAME, path, said, kind="unreachable" if is_passing else "failed")


def _content(reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except ValueError as error:
        raise ComponentError(_NAME, "reading", f"{reply.url} did not answer JSON") from error
