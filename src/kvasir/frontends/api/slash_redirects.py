"""Redirects from a path to the same one with or without a slash at its end."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from kvasir.frontends.api.sources import public_path


@dataclass(frozen=True, slots=True)
class SlashRedirects:
    """Answers requests that no route of a router takes.

    Starlette's own redirect leads to the host and scheme of the request, without the path of
    ``server.public_url``; behind a proxy that is another application.
    """

    router: APIRouter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect to the other path if it has a route; otherwise answer 404."""
        path: str = scope["path"]
        other = path.rstrip("/") if path.endswith("/") else f"{path}/"
        if scope["type"] != "http" or not other or not self._has(dict(scope, path=other)):
            await self.router.not_found(scope, receive, send)
            return
        request = Request(scope)
        own = other.removeprefix(scope.get("root_path", ""))
        query = f"?{request.url.query}" if request.url.query else ""
        address = public_path(scope["app"].state.kvasir, request, quote(own)) + query
        await RedirectResponse(address)(scope, receive, send)

    def _has(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is not Match.NONE for route in self.router.routes)
