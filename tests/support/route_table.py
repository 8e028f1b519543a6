"""Every route of the server, who may call it, and a request that suits it.

A route without an entry here fails ``test_api_routes.py``. Who may call one:

    OPEN       everyone; a credential is not looked at
    OPTIONAL   everyone, but a credential that is given must be valid
    SIGNED_IN  every valid credential
    LOGGED_IN  users who logged in, with no API key
    READ, WRITE, ANSWERING, ADMIN    the scope
    METRICS    administrators, as the settings say

A ``page`` is for people: it accepts the cookie of a login, too, sends a browser without one to the
page to sign in, and answers errors in HTML.

``OWN`` routes show or change something of Ana's, which for another user does not exist.
"""

from dataclasses import dataclass, field

OPEN, OPTIONAL, SIGNED_IN, LOGGED_IN = "open", "optional", "signed in", "logged in"
READ, WRITE, ANSWERING, ADMIN, METRICS = "read", "write", "answering", "admin", "metrics"


@dataclass(frozen=True)
class Rule:
    """Who may call a route, and how it is called.

    Attributes:
        own: It needs something of Ana's: others get 404.
        page: It is a page for people.
        path: Values for its path; ``{collection}`` and others are filled in by the test.
        request: Arguments of the client.
        allowed: Statuses for those who may; by default any that is no error of rights or server.
    """

    who: str
    own: bool = False
    page: bool = False
    path: dict = field(default_factory=dict)
    request: dict = field(default_factory=dict)
    allowed: tuple = ()


NAME = {"name": "{collection}"}
DOCUMENT = NAME | {"document_id": "{document}"}
# What is deleted must be there for the next caller.
GONE = {"name": "{spare}"}
QUESTION = {"question_id": "{question}"}
NO_DATA_SET = dict.fromkeys(("corpus", "queries", "qrels"), ("x", b""))
NO_CORPORA = {"questions": ("x", b""), "corpora": ("x.md", b"")}
LEASE = {"token": "a lease that nobody has"}
FT = {"part": "ft"}
FT_JOB = FT | {"job_id": "none"}
TUNING = {"json": {"runner": "state", "arguments": {}}}
USER = {"username": "x", "email": "x", "password": "x"}

ROUTES = {
    ("GET", "/docs"): Rule(OPEN),
    ("GET", "/docs/start.js"): Rule(OPEN),
    ("GET", "/docs/{name}"): Rule(OPEN, path={"name": "swagger-ui.css"}),
    ("GET", "/openapi.json"): Rule(OPEN),
    ("GET", "/health"): Rule(OPEN),
    ("GET", "/ready"): Rule(OPEN, allowed=(200, 503)),
    ("GET", "/metrics"): Rule(METRICS),
    ("GET", "/register"): Rule(OPEN),
    ("POST", "/register"): Rule(OPEN, allowed=(400, 403)),
    ("GET", "/sign-in"): Rule(OPEN),
    ("POST", "/sign-in"): Rule(OPEN, request={"data": {"username": "x"}}, allowed=(401,)),
    ("POST", "/sign-out"): Rule(OPEN, allowed=(303,)),
    ("GET", "/signed-in"): Rule(LOGGED_IN, page=True),
    ("GET", "/change-password"): Rule(LOGGED_IN, page=True),
    ("POST", "/change-password"): Rule(LOGGED_IN, page=True, allowed=(400,)),
    ("GET", "/read/{name}/{document_id}"): Rule(
        READ, own=True, page=True, path=DOCUMENT, request={"params": {"start": 0, "end": 3}}
    ),
    ("GET", "/read/{name}/{document_id}/original"): Rule(READ, own=True, page=True, path=DOCUMENT),
    ("POST", "/user/"): Rule(OPEN, request={"json": USER}, allowed=(422,)),
    ("POST", "/login"): Rule(OPEN, allowed=(422,)),
    ("POST", "/auth/forgot-password/"): Rule(OPEN, allowed=(422,)),
    ("POST", "/auth/change-password/"): Rule(SIGNED_IN, request={"json": {}}, allowed=(422,)),
    ("GET", "/v1/users/me"): Rule(SIGNED_IN),
    ("PATCH", "/v1/users/me"): Rule(LOGGED_IN, request={"json": {"language": "en"}}),
    ("GET", "/v1/users/me/api-keys"): Rule(LOGGED_IN),
    ("POST", "/v1/users/me/api-keys"): Rule(LOGGED_IN, request={"json": {}}, allowed=(422,)),
    ("DELETE", "/v1/users/me/api-keys/{key_id}"): Rule(
        LOGGED_IN, path={"key_id": "none"}, allowed=(404,)
    ),
    ("GET", "/v1/users"): Rule(ADMIN),
    ("POST", "/v1/users"): Rule(OPTIONAL, request={"json": {}}, allowed=(422,)),
    ("GET", "/v1/users/{user_id}"): Rule(ADMIN, path={"user_id": "{ana}"}),
    ("PATCH", "/v1/users/{user_id}"): Rule(
        ADMIN, path={"user_id": "{ana}"}, request={"json": {"language": "en"}}
    ),
    ("POST", "/v1/invitations"): Rule(ADMIN, request={"json": {}}),
    ("GET", "/v1/access"): Rule(READ),
    ("GET", "/v1/collections"): Rule(READ),
    ("POST", "/v1/collections"): Rule(WRITE, request={"json": {}}, allowed=(422,)),
    ("GET", "/v1/collections/{name}"): Rule(READ, own=True, path=NAME),
    ("DELETE", "/v1/collections/{name}"): Rule(WRITE, own=True, path=GONE),
    ("GET", "/v1/collections/{name}/access"): Rule(READ, own=True, path=NAME),
    ("PUT", "/v1/collections/{name}/access"): Rule(
        WRITE, own=True, path=NAME, request={"json": {"visibility": "private"}}
    ),
    ("GET", "/v1/collections/{name}/documents"): Rule(READ, own=True, path=NAME),
    ("POST", "/v1/collections/{name}/documents"): Rule(
        WRITE,
        own=True,
        path=NAME,
        request={"files": {"file": ("..", b"")}},
        # The name is refused after the rights were checked.
        allowed=(400,),
    ),
    ("POST", "/v1/collections/{name}/documents/from-url"): Rule(
        WRITE,
        own=True,
        path=NAME,
        request={"json": {"url": "http://a/", "metadata": {"title": "x"}}},
        allowed=(400,),
    ),
    ("POST", "/v1/collections/{name}/documents/from-web"): Rule(
        WRITE,
        own=True,
        path=NAME,
        request={"json": {"query": "tea", "metadata": {"title": "x"}}},
        allowed=(400,),
    ),
    ("GET", "/v1/collections/{name}/documents/{document_id}"): Rule(READ, own=True, path=DOCUMENT),
    ("GET", "/v1/collections/{name}/documents/{document_id}/text"): Rule(
        READ, own=True, path=DOCUMENT
    ),
    ("GET", "/v1/collections/{name}/documents/{document_id}/passage"): Rule(
        READ, own=True, path=DOCUMENT, request={"params": {"start": 0, "end": 3}}
    ),
    ("GET", "/v1/collections/{name}/documents/{document_id}/original"): Rule(
        READ, own=True, path=DOCUMENT
    ),
    ("GET", "/v1/collections/{name}/documents/{document_id}/pages/{page}"): Rule(
        READ,
        own=True,
        path=DOCUMENT | {"page": 1},
        allowed=(404,),  # It is no PDF.
    ),
    ("POST", "/v1/collections/{name}/documents/{document_id}/reindex"): Rule(
        WRITE, own=True, path=DOCUMENT
    ),
    ("PUT", "/v1/collections/{name}/documents/{document_id}/metadata"): Rule(
        WRITE, own=True, path=DOCUMENT, request={"json": {"metadata": {}}}
    ),
    ("DELETE", "/v1/collections/{name}/documents/{document_id}"): Rule(
        WRITE, own=True, path=GONE | {"document_id": "none"}, allowed=(404,)
    ),
    ("POST", "/v1/collections/{name}/documents/batch"): Rule(
        WRITE, own=True, path=NAME, request={"data": {"batch": "[]"}}, allowed=(400,)
    ),
    ("POST", "/v1/collections/{name}/documents/delete"): Rule(
        WRITE, own=True, path=NAME, request={"json": {"documents": []}}
    ),
    ("GET", "/v1/collections/{name}/count"): Rule(READ, own=True, path=NAME),
    ("POST", "/v1/collections/{name}/optimize"): Rule(
        WRITE, own=True, path=NAME, request={"json": {}}
    ),
    ("POST", "/v1/collections/{name}/inspect"): Rule(ADMIN, path=NAME),
    ("POST", "/v1/collections/{name}/repair"): Rule(ADMIN, path=NAME),
    ("POST", "/v1/collections/{name}/restore"): Rule(ADMIN, path=NAME),
    ("POST", "/v1/collections/{name}/model"): Rule(
        ADMIN, path=NAME, request={"json": {"name": "a", "kind": "a:b"}}, allowed=(400,)
    ),
    ("POST", "/v1/collections/{name}/calibrate"): Rule(
        ADMIN, path=NAME, request={"json": {"answered": ["a?"], "unanswered": ["b?"]}}
    ),
    ("POST", "/v1/collections/{name}/evaluate"): Rule(
        ADMIN, path=NAME, request={"json": {"questions": [{"id": "1", "question": "a?"}]}}
    ),
    ("PUT", "/v1/collections/{name}/calibration"): Rule(
        ADMIN, path=NAME, request={"json": {"calibration": None}}
    ),
    ("POST", "/v1/collections/{name}/copy"): Rule(
        ADMIN,
        path=NAME,
        request={"json": {"to": {"type": "a:b", "uri": "http://a"}}},
        allowed=(400,),
    ),
    ("POST", "/v1/evaluation/retrieval"): Rule(
        ADMIN, request={"files": NO_DATA_SET}, allowed=(400,)
    ),
    ("POST", "/v1/evaluation/answers"): Rule(ADMIN, request={"files": NO_DATA_SET}, allowed=(400,)),
    ("POST", "/v1/evaluation/chunking"): Rule(ADMIN, request={"files": NO_CORPORA}, allowed=(400,)),
    ("POST", "/v1/collections/{name}/replies"): Rule(
        READ, own=True, path=NAME, request={"json": {"question": "How hot is tea?"}}
    ),
    ("GET", "/v1/answers"): Rule(READ, request={"params": {"conversation": "a chat"}}),
    ("GET", "/v1/answers/{answer_id}/events"): Rule(
        READ, path={"answer_id": "none"}, allowed=(404,)
    ),
    ("POST", "/v1/answers/{answer_id}/stop"): Rule(
        READ, path={"answer_id": "none"}, allowed=(404,)
    ),
    ("GET", "/v1/server"): Rule(READ),
    ("POST", "/v1/operations/{operation_id}/stop"): Rule(
        READ, path={"operation_id": "none"}, allowed=(404,)
    ),
    # No services run for the tests' server.
    ("GET", "/v1/services"): Rule(ADMIN),
    ("POST", "/v1/services/{service}/scale"): Rule(
        ADMIN, path={"service": "llm"}, request={"json": {"workers": 2}}, allowed=(503,)
    ),
    ("POST", "/v1/services/{service}/restart"): Rule(
        ADMIN, path={"service": "llm"}, allowed=(503,)
    ),
    ("GET", "/v1/tuning/files"): Rule(ADMIN),
    ("POST", "/v1/tuning/files"): Rule(
        ADMIN, request={"files": {"file": ("x", b"")}}, allowed=(400,)
    ),
    ("POST", "/v1/tuning/files/from-answers"): Rule(
        ADMIN, request={"json": {"name": "x"}}, allowed=(400,)
    ),
    ("GET", "/v1/tuning/{part}"): Rule(ADMIN, path=FT),
    ("POST", "/v1/tuning/{part}/memory"): Rule(ADMIN, path=FT, request=TUNING, allowed=(503,)),
    ("GET", "/v1/tuning/{part}/jobs"): Rule(ADMIN, path=FT, allowed=(503,)),
    ("POST", "/v1/tuning/{part}/jobs"): Rule(ADMIN, path=FT, request=TUNING, allowed=(503,)),
    ("GET", "/v1/tuning/{part}/jobs/{job_id}"): Rule(ADMIN, path=FT_JOB, allowed=(503,)),
    ("POST", "/v1/tuning/{part}/jobs/{job_id}/cancel"): Rule(ADMIN, path=FT_JOB, allowed=(503,)),
    ("GET", "/v1/tuning/{part}/jobs/{job_id}/events"): Rule(ADMIN, path=FT_JOB, allowed=(503,)),
    ("POST", "/v1/tuning/ft/jobs/{job_id}/use"): Rule(
        ADMIN, path={"job_id": "none"}, allowed=(503,)
    ),
    ("GET", "/v1/model-files"): Rule(ADMIN),
    ("POST", "/v1/model-files/fetch"): Rule(
        ADMIN, request={"json": {"name": "no name"}}, allowed=(422,)
    ),
    ("GET", "/v1/llm"): Rule(ADMIN),
    ("PUT", "/v1/llm"): Rule(ADMIN, request={"json": {"base": "base.pth"}}, allowed=(409,)),
    ("GET", "/v1/jobs"): Rule(READ),
    ("GET", "/v1/jobs/{job_id}"): Rule(READ, own=True, path={"job_id": "{job}"}),
    ("POST", "/v1/jobs/{job_id}/cancel"): Rule(WRITE, own=True, path={"job_id": "{job}"}),
    ("POST", "/v1/jobs/{job_id}/retry"): Rule(
        WRITE, own=True, path={"job_id": "{job}"}, allowed=(409,)
    ),
    ("POST", "/v1/collections/{name}/search"): Rule(
        READ, own=True, path=NAME, request={"json": {"query": "tea"}}
    ),
    ("POST", "/v1/collections/{name}/answers"): Rule(
        READ, own=True, path=NAME, request={"json": {"question": "How hot is tea?"}}
    ),
    ("POST", "/v1/answers/{answer_id}/feedback"): Rule(
        READ,
        own=True,
        path={"answer_id": "{answer}"},
        request={"json": {"rating": 1}},
        allowed=(204, 404),
    ),
    ("GET", "/"): Rule(OPEN),
    ("POST", "/"): Rule(READ, own=True, request={"json": {"input": "How hot is tea?"}}),
    ("GET", "/receive-prompt"): Rule(ANSWERING, allowed=(200, 204, 404)),
    ("GET", "/v1/questions"): Rule(READ),
    ("POST", "/v1/questions"): Rule(
        READ, own=True, request={"json": {"input": "How hot is tea?", "collection": "ana-course"}}
    ),
    ("GET", "/v1/questions/{question_id}"): Rule(READ, own=True, path=QUESTION),
    ("POST", "/v1/questions/{question_id}/cancel"): Rule(
        READ, own=True, path=QUESTION, allowed=(200, 409)
    ),
    ("POST", "/v1/questions/{question_id}/answer"): Rule(
        ANSWERING, path=QUESTION, request={"json": LEASE | {"output": "x"}}, allowed=(409,)
    ),
    ("POST", "/v1/questions/{question_id}/heartbeat"): Rule(
        ANSWERING, path=QUESTION, request={"json": LEASE}, allowed=(409,)
    ),
    ("POST", "/v1/questions/{question_id}/fail"): Rule(
        ANSWERING, path=QUESTION, request={"json": LEASE | {"reason": "x"}}, allowed=(409,)
    ),
    ("POST", "/v1/questions/{question_id}/release"): Rule(
        ANSWERING, path=QUESTION, request={"json": LEASE}, allowed=(204, 409)
    ),
    ("GET", "/v1/answers/export"): Rule(READ),
    ("GET", "/v1/backup"): Rule(ADMIN),
    ("GET", "/v1/models"): Rule(READ),
    ("GET", "/v1/models/{model:path}"): Rule(READ, own=True, path={"model": "{collection}"}),
    ("POST", "/v1/chat/completions"): Rule(
        READ,
        own=True,
        request={
            "json": {
                "model": "ana-course",
                "messages": [{"role": "user", "content": "How hot is green tea?"}],
            }
        },
    ),
    ("POST", "/v1/embeddings"): Rule(
        READ, own=True, request={"json": {"model": "ana-course", "input": "tea"}}
    ),
    # A request that is none of the protocol.
    ("POST", "/mcp"): Rule(READ, request={"json": {}}, allowed=(400,)),
    ("POST", "/uploadfile/"): Rule(
        WRITE, own=True, request={"files": {"file": ("..", b"")}}, allowed=(400,)
    ),
    ("POST", "/completion/"): Rule(
        READ, own=True, request={"json": {"query": "How hot is green tea?"}}
    ),
    ("POST", "/api/v1/predict"): Rule(
        READ, own=True, request={"json": {"query": "How hot is green tea?"}}
    ),
    ("GET", "/api/v1/health"): Rule(OPEN),
}
