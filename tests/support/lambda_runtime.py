"""Lambda's runtime API on the loopback, and its official Python client in a process of its own.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import base64
import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import yaml

_PREFIX = "/2018-06-01/runtime/"
_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:kvasir"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are written apart: the body would wait 40 ms for the client's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *args):
        """Keeps the test's output clean."""

    def do_GET(self):
        assert self.path == f"{_PREFIX}invocation/next", self.path
        self.server.asked_first.set()
        identity, event = self.server.events.get()
        data = json.dumps(event).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", identity)
        end = (time.time() + self.server.seconds) * 1000
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int(end)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", _ARN)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        identity, _, kind = self.path.removeprefix(f"{_PREFIX}invocation/").partition("/")
        self.server.receive(identity, kind, data)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()


class LambdaFunction(ThreadingHTTPServer):
    """A function with one instance; use it in a ``with``."""

    daemon_threads = True

    def __init__(self, folder, settings, environment=None, seconds=60.0, python=sys.executable):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events, self.results = queue.Queue(), queue.Queue()
        self.seconds = seconds
        self.asked_first = threading.Event()
        (folder / "kvasir.yaml").write_text(yaml.safe_dump(settings), "utf-8")
        self._folder, self._python = folder, python
        self._environment = {
            **os.environ,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "kvasir",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            **(environment or {}),
        }
        self.process = None

    def receive(self, identity, kind, data):
        """Take the result of an event."""
        self.results.put((kind or "error", json.loads(data) if data else None))

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.log = (self._folder / "log").open("w+b")
        self.started = time.monotonic()
        self.process = self.start()
        return self

    def start(self):
        """Start an instance."""
        return subprocess.Popen(
            [self._python, "-m", "awslambdaric", "kvasir.frontends.aws_lambda.handler"],
            cwd=self._folder,
            env=self._environment,
            stdout=self.log,
            stderr=self.log,
        )

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(60)
        self.log.close()
        self.shutdown()
        self.server_close()

    def invoke(self, event, seconds=120.0):
        """Send an event; return ``response`` or ``error``, and its body."""
        self.events.put((str(uuid.uuid4()), event))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                return self.results.get(timeout=0.2)
            except queue.Empty:
                if self.process.poll() is not None:
                    break
        raise AssertionError("no result: " + self.output)

    @property
    def output(self):
        self.log.flush()
        return (self._folder / "log").read_text("utf-8", "replace")

    def request(self, method, path, *, kind="function url", headers=None, body=None):
        """Send a request through a service in front of Lambda; return status, headers and body."""
        make = {"function url": function_url, "rest": rest_api, "load balancer": load_balancer}
        outcome, reply = self.invoke(make[kind](method, path, headers or {}, body))
        assert outcome == "response", (reply, self.output)
        data = reply["body"]
        data = base64.b64decode(data) if reply.get("isBase64Encoded") else data.encode()
        found = reply.get("headers") or {k: v[0] for k, v in reply["multiValueHeaders"].items()}
        return reply["statusCode"], {k.lower(): v for k, v in found.items()}, data


def _body(body):
    if body is None:
        return {"isBase64Encoded": False}
    if isinstance(body, bytes):
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return {"body": json.dumps(body), "isBase64Encoded": False}


def _headers(headers, body):
    kind = {"content-type": "application/json"} if isinstance(body, dict) else {}
    return {"host": "kb.example.org"} | kind | headers


def function_url(method, path, headers, body):
    """Return an event of a function URL or of an HTTP API, payload format 2.0."""
    parts = urlsplit(path)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": _headers(headers, body),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "kb.example.org",
            "domainPrefix": "kb",
            "http": {
                "method": method,
                "path": parts.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "test",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        **_body(body),
    }


def rest_api(method, path, headers, body):
    """Return an event of API Gateway's REST type, payload format 1.0."""
    parts = urlsplit(path)
    query = dict(parse_qsl(parts.query))
    given = _headers(headers, body)
    return {
        "resource": "/{proxy+}",
        "path": parts.path,
        "httpMethod": method,
        "headers": given,
        "multiValueHeaders": {name: [value] for name, value in given.items()},
        "queryStringParameters": query or None,
        "multiValueQueryStringParameters": {k: [v] for k, v in query.items()} or None,
        "pathParameters": {"proxy": parts.path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "path": f"/Prod{parts.path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "Prod",
            "domainName": "kb.example.org",
            "requestId": "id",
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "test"},
            "apiId": "api",
        },
        **_body(body),
    }


def load_balancer(method, path, headers, body):
    """Return an event of an application load balancer."""
    parts = urlsplit(path)
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:x"}},
        "httpMethod": method,
        "path": parts.path,
        "queryStringParameters": dict(parse_qsl(parts.query)),
        "headers": _headers(headers, body) | {"x-forwarded-for": "192.0.2.1"},
        **{"body": "", **_body(body)},
    }


def s3_record(bucket, key, name="ObjectCreated:Put"):
    """Return a record of a notification of S3; ``key`` as S3 encodes it."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}},
    }


def sqs_event(*bodies, queue_name="documents"):
    """Return a batch of messages, with the ids 0, 1, 2, ..."""
    return {
        "Records": [
            {
                "messageId": str(number),
                "receiptHandle": "handle",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{queue_name}",
                "awsRegion": "eu-west-1",
            }
            for number, body in enumerate(bodies)
        ]
    }


def sns_event(*messages):
    """Return an event of SNS. Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html."""
    topic = "arn:aws:sns:eu-west-1:123456789012:documents"
    return {
        "Records": [
            {
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{topic}:id",
                "EventSource": "aws:sns",
                "Sns": {
                    "Type": "Notification",
                    "MessageId": "id",
                    "TopicArn": topic,
                    "Subject": "Amazon S3 Notification",
                    "Message": json.dumps(message),
                    "MessageAttributes": {},
                },
            }
            for message in messages
        ]
    }
