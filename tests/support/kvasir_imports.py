"""What ``kvasir serve`` and ``kvasir worker`` import; see ``forked_kvasir``. Nothing is started."""

import importlib

for _name in (
    "kvasir.frontends.cli.main",
    "kvasir.frontends.cli.serve",
    "kvasir.frontends.cli.worker",
    "kvasir.frontends.worker.command",
    "kvasir.frontends.api.application",
    "kvasir.frontends.api.command",
    "kvasir.components.stores.chroma",
    "kvasir.components.generators.extractive",
    "kvasir.jobs.celery_sending",
    "kvasir.jobs.celery_working",
    "kvasir.database.migrating",
    "kvasir.ingesting.pipeline",
    "kvasir.questions.answering",
    "kvasir.questions.sending",
    "kvasir.questions.sql",
    "kvasir.testing.fakes",
    "celery.apps.worker",
    "celery.app.amqp",
    "celery.backends.redis",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "kombu.transport.pyamqp",
    "kombu.transport.redis",
    "uvicorn",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.auto",
    "chromadb",
    "alembic.command",
):
    try:
        importlib.import_module(_name)
    except ModuleNotFoundError as error:  # It is imported by those that need it, if it exists.
        if error.name and not error.name.startswith(("uvicorn", "chromadb", "celery", "kombu")):
            raise
