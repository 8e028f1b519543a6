"""A worker: ``celery -A worker.celery_worker.celery_app worker --loglevel=info``."""

from kvasir.frontends.worker import celery_app as celery_app
