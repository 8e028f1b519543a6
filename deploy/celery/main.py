"""The server: ``uvicorn main:app --reload``."""

from kvasir.frontends.api import app as app
