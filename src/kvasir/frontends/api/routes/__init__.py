"""The routes, a module for each part of the service."""

from __future__ import annotations

from fastapi import APIRouter

from kvasir.frontends.api.routes import answers, collections, documents, health, jobs, search

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    collections.router,
    documents.router,
    jobs.router,
    search.router,
    answers.router,
)
"""Every router, in the order of the manual."""
