"""``/v1/backup``: download a backup of everything, for administrators."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from kvasir.app import App
from kvasir.backups import back_up
from kvasir.core.errors import KvasirError, OperatorError
from kvasir.core.run import Run, StopToken
from kvasir.frontends.api.callers import Admin, Kvasir

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/backup", tags=["operation"])

_PIECE = 1 << 16


@router.get("", responses={200: {"content": {"application/x-tar": {}}}})
def download(kvasir: Kvasir, caller: Admin) -> StreamingResponse:
    """Download a backup, which ``kvasir restore`` reads; the server goes on working.

    It is complete only if its end, the manifest, is there: a download that breaks off is refused
    by the restore.
    """
    name = f"kvasir-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_pieces(kvasir), media_type="application/x-tar", headers=disposition)


def _pieces(kvasir: App) -> Iterator[bytes]:
    """Yield the archive while a thread writes it; a client that leaves stops the thread."""
    reader, writer = os.pipe()
    stop = StopToken()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with os.fdopen(writer, "wb", buffering=_PIECE) as pipe:
                back_up(kvasir, pipe, run=Run(stop))
        except Exception as error:  # noqa: BLE001 - raised again in the thread of the response
            errors.append(error)

    thread = threading.Thread(target=work, name="backup", daemon=True)
    thread.start()
    try:
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            while piece := pipe.read(_PIECE):
                yield piece
    finally:
        stop.set()
        thread.join()
    for error in errors:
        if not isinstance(error, KvasirError):
            raise error
        logger.error("the backup failed: %s", error)
        # The response is broken off, which its reader notices.
        raise OperatorError(f"the backup failed: {error}") from error
