"""Questions are answered and mailed once each, whatever happens to workers and servers."""

import os
from uuid import uuid4

import pytest
from databases import ENGINES
from own_servers import OwnDatabase, own_database
from queue_storm import Storm, run_storm

STORM = Storm(
    questions=40,
    # Few, because the order of questions that are asked at the same time is not compared.
    users=4,
    answer_seconds=0.05,
    lease_seconds=1.0,
    kill_every=0.8,
    most_kills=8,
    max_attempts=30,
    first_delay=0.3,
    limit_seconds=300.0,
)


# aiosmtpd leaves connections behind that are open when it stops.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("engine", ENGINES)
def test_every_question_is_answered_and_mailed_once(engine, tmp_path):
    with own_database(engine, tmp_path) as database:
        outcome = run_storm(database, tmp_path, STORM)
    outcome.check(STORM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.skipif(
    "KVASIR_TEST_MONGO_URL" not in os.environ,
    reason="KVASIR_TEST_MONGO_URL names no MongoDB server",
)
def test_every_question_in_mongodb_is_answered_and_mailed_once(tmp_path):
    # The server belongs to somebody else and is not restarted.
    from pymongo import MongoClient  # noqa: PLC0415 - an extra

    url, _, options = os.environ["KVASIR_TEST_MONGO_URL"].partition("?")
    scheme, _, rest = url.partition("://")
    name = f"kvasir_test_{uuid4().hex[:12]}"
    address = f"{scheme}://{rest.partition('/')[0]}/{name}?{options}"
    try:
        outcome = run_storm(OwnDatabase(address), tmp_path, STORM)
    finally:
        with MongoClient(address) as client:
            client.drop_database(name)
    outcome.check(STORM)
