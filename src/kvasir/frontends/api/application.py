"""The FastAPI application over one ``App``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from kvasir.app import App
from kvasir.frontends.api import problems
from kvasir.frontends.api.background import Background
from kvasir.frontends.api.routes import ROUTERS
from kvasir.settings.loading import load_settings


def from_settings() -> FastAPI:
    """Return the application of the settings in the working directory; it closes its ``App``."""
    app = App(load_settings())
    check_accounts(app)
    return make_application(app, closes=True)


def check_accounts(app: App) -> None:
    """Check what nobody should find out with the first login.

    Raises:
        SettingsError: The signing key or a rate limit is unusable.
    """
    app.services.accounts  # noqa: B018 - made now
    app.services.rate_limits  # noqa: B018 - made now


def make_application(app: App, *, owner_token: str = "", closes: bool = False) -> FastAPI:
    """Return the application that serves an ``App``.

    Args:
        app: What it serves.
        owner_token: The token of the data folder's owner record, which acts as administrator.
        closes: Close the ``App`` when the server ends.
    """
    background = Background(app)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        background.start()
        try:
            yield
        finally:
            background.stop(app.settings.server.shutdown_seconds)
            if closes:
                app.close()

    api = FastAPI(
        title="Kvasir",
        version=version("kvasir"),
        summary="Answers questions from your documents and shows where each answer stands.",
        lifespan=lifespan,
    )
    api.state.kvasir = app
    api.state.owner_token = owner_token
    api.state.wake_workers = background.wake
    problems.install(api)
    for router in ROUTERS:
        api.include_router(router)
    return api
