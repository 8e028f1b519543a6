"""Moto's S3 server with a bucket, at a free port; the environment names it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from libraries import library

moto = library("moto.server", extra="dev")
botocore = library("botocore.session", extra="s3")


@contextmanager
def s3_bucket(name: str) -> Iterator[str]:
    """Give the address of an empty bucket: ``s3://NAME``."""
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with patch.dict(os.environ, environment):
            client = botocore.get_session().create_client("s3")
            client.create_bucket(Bucket=name)
            client.close()
            yield f"s3://{name}"
    finally:
        server.stop()
