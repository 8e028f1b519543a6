"""The FastAPI application over one ``App``."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from kvasir.app import App
from kvasir.cached_answers import CachedAnswers
from kvasir.frontends.api import manual, problems
from kvasir.frontends.api.background import Background
from kvasir.frontends.api.generation import make_admission
from kvasir.frontends.api.metrics import Metrics
from kvasir.frontends.api.observing import Observing
from kvasir.frontends.api.operations import Operations
from kvasir.frontends.api.readiness import Readiness
from kvasir.frontends.api.routes import ROUTERS
from kvasir.frontends.api.running_answers import RunningAnswers
from kvasir.frontends.api.slash_redirects import SlashRedirects
from kvasir.frontends.api.tracing import Tracing
from kvasir.frontends.process import configure_logging
from kvasir.settings.loading import load_settings
from kvasir.settings.schema import Settings
from kvasir.sharing import check_jobs, indexes_nothing, is_embedded

_SEARCHES_PER_PROCESSOR = 2
_SEARCHES_ON_SERVERS = 40
_SWITCH_SECONDS = 0.0005
"""Between two threads of Python that compute: a search waits for an ingest's a dozen times."""
_HEADERS_OF_PAGES = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "X-API-Key",
    "X-Request-ID",
)
_HEADERS_FOR_PAGES = (
    "ETag",
    "Kvasir-Answer",
    "Kvasir-Note",
    "Location",
    "Retry-After",
    "X-Request-ID",
)


def from_settings() -> FastAPI:
    """Return the application of the settings in the working directory; it closes its ``App``."""
    settings = load_settings()
    configure_logging(settings.server.log_format, debug=settings.server.debug)
    app = App(settings)
    check_accounts(app)
    return make_application(app, closes=True)


def check_accounts(app: App) -> None:
    """Check what nobody should find out with the first login.

    Raises:
        SettingsError: The signing key or a rate limit is unusable.
    """
    app.services.accounts  # noqa: B018 - made now
    app.services.rate_limits  # noqa: B018 - made now


def make_application(
    app: App,
    *,
    owner_token: str = "",
    owner_is_local: bool = True,
    closes: bool = False,
    on_demand: bool = False,
) -> FastAPI:
    """Return the application that serves an ``App``.

    Args:
        app: What it serves.
        owner_token: The token of the data folder's owner record, which acts as administrator.
        owner_is_local: Whoever has that token is the user of this process, who may write into any
            folder.
        closes: Close the ``App`` when the server ends.
        on_demand: Serve an index that a command or a script has open: no work in the background
            before the first upload, no log of answers, and no collection is kept open.

    Raises:
        SettingsError: A setting is unusable.
        MissingExtraError: ``server.tracing`` needs the extra ``tracing``.
    """
    server = app.settings.server
    check_jobs(app.settings)
    admission = make_admission(app.settings)
    tracing = Tracing(server.tracing)
    metrics = Metrics(app, admission.counts)
    background = Background(
        app, metrics=metrics, tracing=tracing, admission=admission, on_demand=on_demand
    )
    readiness = Readiness(app, has_workers=background.is_alive)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if not on_demand:
            app.keep_open()
        background.start()
        former = sys.getswitchinterval()
        sys.setswitchinterval(min(former, _SWITCH_SECONDS))
        try:
            yield
        finally:
            sys.setswitchinterval(former)
            api.state.answers.stop()
            background.stop(server.shutdown_seconds)
            tracing.close()
            if closes:
                app.close()

    api = FastAPI(
        title=server.title,
        version=version("kvasir"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    api.state.kvasir = app
    api.state.owner_token = owner_token
    api.state.owner_is_local = owner_is_local
    api.state.on_demand = on_demand
    api.state.operations = Operations()
    api.state.answers = RunningAnswers()
    api.state.cached_answers = CachedAnswers(app)
    api.state.wake_workers = background.wake
    api.state.job_arguments = {}
    api.state.takes_jobs = not indexes_nothing(app.settings)
    api.state.tidy_up = background.tidy_up
    api.state.generator_state = lambda: background.generator_state
    api.state.admission = admission
    api.state.searches = CapacityLimiter(_searches_at_once(app.settings))
    api.state.metrics = metrics
    api.state.tracing = tracing
    api.state.readiness = readiness
    problems.install(api)
    for router in (manual.router, *ROUTERS):
        # `include_router` would make every route a second time: half a second of a cold start.
        api.router.routes.extend(router.routes)
    api.router.redirect_slashes = False
    api.router.default = SlashRedirects(api.router)
    _document(api)
    if server.allowed_origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=list(server.allowed_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=list(_HEADERS_OF_PAGES),
            expose_headers=list(_HEADERS_FOR_PAGES),
        )
    # Added last, it is the outermost.
    api.add_middleware(
        Observing,
        metrics=metrics,
        tracing=tracing,
        readiness=readiness,
        # On a local socket, an upload has the limit that its user typed.
        max_upload=sys.maxsize if on_demand else app.settings.rag.ingest.max_file_mb << 20,
        max_body=server.max_body_mb << 20,
    )
    return api


def _searches_at_once(settings: Settings) -> int:
    """Return how many searches run at the same time; others wait in their order.

    In an index of this process they compute all the time. More of them than the processors can
    serve would only wait for the interpreter, and keep it from the thread that answers.
    """
    if is_embedded(settings):
        return _SEARCHES_PER_PROCESSOR * (os.cpu_count() or 1)
    return _SEARCHES_ON_SERVERS


def _document(api: FastAPI) -> None:
    """Make the OpenAPI document when it is first asked for."""

    def openapi() -> dict[str, object]:
        if api.openapi_schema is None:
            api.openapi_schema = manual.document(api)
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]
