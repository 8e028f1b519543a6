"""``/health`` and ``/ready``, for those who watch the server; they need no credential."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from kvasir.app import App
from kvasir.core.errors import KvasirError
from kvasir.frontends.api.callers import Kvasir

router = APIRouter(tags=["operation"])


@router.get("/health", summary="Health Check")
def health() -> dict[str, str]:
    """Say that the server is alive."""
    return {"status": "ok"}


@router.get("/ready", responses={503: {"description": "a dependency does not answer"}})
def ready(kvasir: Kvasir) -> JSONResponse:
    """Check that store, database, queue and mail server can be reached."""
    found = {name: _state(check, kvasir) for name, check in _CHECKS.items()}
    is_ready = all(state == "ok" for state in found.values())
    return JSONResponse({"ready": is_ready, "checks": found}, 200 if is_ready else 503)


def _state(check: Callable[[App], object], kvasir: App) -> str:
    try:
        check(kvasir)
    except KvasirError as error:
        # Its message may name addresses; the log has it.
        return error.code
    return "ok"


def _store(kvasir: App) -> None:
    for record in kvasir.collections()[:1]:
        with kvasir.collection(record.name) as collection:
            collection.chunk_count()
            collection.index.store.count()


def _mail(kvasir: App) -> None:
    mailer = kvasir.services.make_mailer()
    if mailer is not None:
        mailer.check()


_CHECKS: dict[str, Callable[[App], object]] = {
    "store": _store,
    "database": lambda kvasir: kvasir.services.jobs.counts(),
    "queue": lambda kvasir: kvasir.services.questions.counts(),
    "mail": _mail,
}
