"""The routes, a module for each part of the service."""

from __future__ import annotations

from fastapi import APIRouter

from kvasir.frontends.api.routes import (
    access,
    accounts,
    answers,
    answers_export,
    backup,
    collections,
    course,
    documents,
    health,
    jobs,
    login,
    mcp,
    openai,
    predict,
    questions,
    register_page,
    search,
    uploadfile,
)

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    login.router,
    register_page.router,
    accounts.router,
    collections.router,
    access.router,
    documents.router,
    jobs.router,
    search.router,
    answers.router,
    questions.router,
    course.router,
    answers_export.router,
    openai.router,
    mcp.router,
    uploadfile.router,
    predict.router,
    backup.router,
)
"""Every router, in the order of the manual."""
