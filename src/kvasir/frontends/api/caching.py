"""Responses with an ``ETag``, so that a client that polls gets a body only when it changed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fastapi import Request, Response


def cached(request: Request, content: Any) -> Response:
    """Return plain data as JSON with its ETag, or 304 without a body if the client has it."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = {each.strip().removeprefix("W/") for each in _if_none_match(request)}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _if_none_match(request: Request) -> list[str]:
    return request.headers.get("if-none-match", "").split(",")
