"""The FastAPI application over one ``App``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from kvasir.app import App
from kvasir.frontends.api import problems
from kvasir.frontends.api.background import Background
from kvasir.frontends.api.operations import Operations
from kvasir.frontends.api.routes import ROUTERS
from kvasir.settings.loading import load_settings


def from_settings() -> FastAPI:
    """Return the application of the settings in the working directory; it closes its ``App``."""
    app = App(load_settings())
    return make_application(app, closes=True)


def make_application(
    app: App, *, owner_token: str = "", closes: bool = False, on_demand: bool = False
) -> FastAPI:
    """Return the application that serves an ``App``.

    Args:
        app: What it serves.
        owner_token: The token of the data folder's owner record, which acts as administrator.
        closes: Close the ``App`` when the server ends.
        on_demand: Start the workers at the first upload.
    """
    background = Background(app, on_demand=on_demand)

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
    api.state.operations = Operations()
    problems.install(api)
    for router in ROUTERS:
        api.include_router(router)
    return api
