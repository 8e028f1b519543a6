"""``/v1/answers/export``: the log of answers as JSON lines, for evaluation and training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from kvasir.core.wire import dumps
from kvasir.frontends.api.callers import Kvasir, Reader

router = APIRouter(prefix="/v1", tags=["answers"])

MEDIA_TYPE = "application/jsonl"
_LINES = 200


@router.get(
    "/answers/export",
    response_class=StreamingResponse,
    responses={
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
    },
)
def export_answers(
    kvasir: Kvasir,
    caller: Reader,
    since: Annotated[
        datetime | None, Query(description="only later ones; UTC without a time zone")
    ] = None,
) -> StreamingResponse:
    """Export your answers with questions, sources and ratings, oldest first, one a line.

    An administrator gets those of all users.
    """
    own = None if caller.is_admin else caller.user_id
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    found = kvasir.services.answer_log.export(user_id=own, since=since)

    def pages() -> Iterator[str]:
        lines: list[str] = []
        for answer in found:
            lines.append(dumps(answer) + "\n")
            if len(lines) == _LINES:
                yield "".join(lines)
                lines.clear()
        yield "".join(lines)

    disposition = {"Content-Disposition": 'attachment; filename="answers.jsonl"'}
    return StreamingResponse(pages(), media_type=MEDIA_TYPE, headers=disposition)
