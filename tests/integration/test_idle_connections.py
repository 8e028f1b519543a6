"""A client may use a connection again that it has left idle for as long as clients do."""

import http.client
import time
from contextlib import closing
from urllib.parse import urlsplit

from service_process import ServiceProcess


def test_a_connection_is_not_closed_while_a_client_may_send_a_request_over_it(tmp_path):
    server = ServiceProcess(tmp_path)
    where = urlsplit(server.start(seconds=180.0))
    try:
        with closing(http.client.HTTPConnection(where.hostname, where.port, timeout=60)) as client:
            client.auto_open = 0  # A connection that was closed is not replaced.
            client.connect()
            for _ in range(2):
                client.request("GET", "/health")
                reply = client.getresponse()
                assert (reply.status, bool(reply.read())) == (200, True)
                time.sleep(6)  # Clients of httpx keep connections for 5 seconds.
    finally:
        server.kill()
