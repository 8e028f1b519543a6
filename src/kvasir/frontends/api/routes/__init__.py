"""The routes, a module for each part of the service."""

from __future__ import annotations

from fastapi import APIRouter

from kvasir.frontends.api.routes import search

ROUTERS: tuple[APIRouter, ...] = (search.router,)
"""Every router, in the order of the manual."""
