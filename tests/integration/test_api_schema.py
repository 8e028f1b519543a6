"""The OpenAPI document is true: requests made from it find no 500 and no undocumented status."""

import itertools

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from libraries import library
from service_client import (
    TEA,
    make_admin,
    make_collection,
    make_settings,
    running,
    sign_up,
    upload,
)

schemathesis = library("schemathesis")
checks = library("schemathesis.checks")

EXAMPLES = 8
CHECKS = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = make_settings(tmp_path_factory.mktemp("schema"))
    with running(made) as (client, app):
        ana = sign_up(client, "ana")
        upload(client, ana, make_collection(client, ana, "course"), "tea.md", TEA)
        yield client, ana, make_admin(client, app)


def test_no_request_finds_a_500_or_an_undocumented_status(world):
    client, ana, root = world
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) > 30
    failures = []
    for operation in operations:
        try:
            _try(operation, ana, root)
        except (Exception, checks.FailureGroup) as failure:  # noqa: BLE001 - all operations are tried
            failures.append(f"{operation.label}: {failure}"[:2000])
    assert not failures, "\n\n".join(failures)


def _try(operation, *callers):
    """Send requests that fit the operation's schema."""
    numbers = itertools.count()

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case):
        number = next(numbers)
        # In the collection that exists, half of the time.
        if "name" in case.path_parameters and number % 2:
            case.path_parameters["name"] = "course"
        # A job may be waited for; the parameter allows a minute.
        response = case.call(headers=callers[number // 2 % len(callers)], timeout=120)
        assert response.status_code != 500, response.text
        case.validate_response(response, checks=[getattr(checks, name) for name in CHECKS])

    send()
