"""What ``kvasir serve`` and ``kvasir worker`` import; see ``forked_kvasir``. Nothing is started.

The model that guesses languages is loaded, too: it is the package's own, and takes half a second.
"""

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
    "kvasir.accounts.access",
    "kvasir.accounts.sql",
    "kvasir.components.analyzers.bm25",
    "kvasir.components.splitters.structure",
    "kvasir.jobs.spool",
    "kvasir.jobs.sql",
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
    "httpcore",
    "cryptography.x509",
    "cryptography.hazmat.primitives.serialization",
    "pwdlib.hashers.argon2",
    "sqlalchemy.dialects.sqlite",
    "trio",
):
    try:
        importlib.import_module(_name)
    except ModuleNotFoundError as error:  # It is imported by those that need it, if it exists.
        if error.name and not error.name.startswith(("uvicorn", "chromadb", "celery", "kombu")):
            raise

importlib.import_module("kvasir.language.detect").detect("tea", ["en", "de"])
