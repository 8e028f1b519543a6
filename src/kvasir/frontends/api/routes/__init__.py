"""The routes, a module for each part of the service."""

from __future__ import annotations

from fastapi import APIRouter

from kvasir.frontends.api.routes import (
    access,
    accounts,
    answers,
    answers_export,
    backup,
    batches,
    collections,
    course,
    documents,
    evaluation,
    health,
    jobs,
    login,
    maintenance,
    mcp,
    openai,
    predict,
    questions,
    reading,
    register_page,
    replies,
    search,
    server,
    sign_in,
    uploadfile,
)

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    login.router,
    register_page.router,
    sign_in.router,
    reading.router,
    accounts.router,
    collections.router,
    access.router,
    documents.uploads,
    documents.router,
    jobs.router,
    search.router,
    answers.router,
    replies.router,
    batches.router,
    maintenance.router,
    evaluation.router,
    server.router,
    questions.router,
    course.router,
    answers_export.router,
    openai.router,
    mcp.router,
    uploadfile.uploads,
    uploadfile.router,
    predict.router,
    backup.router,
)
"""Every router, in the order of the manual."""
