"""The queue on MongoDB keeps the contract, also with records that other programs write.

Runs where ``KVASIR_TEST_MONGO_URL`` names a server, such as ``mongodb://127.0.0.1:27017``.
"""

import os
from datetime import UTC, datetime
from time import sleep
from uuid import uuid4

import pytest

from kvasir.core.services.questions import MailStatus, QuestionState
from kvasir.testing.questions import (
    ANSWER,
    LONG,
    SHORT,
    QuestionQueueContract,
    answer_next,
    claimed,
    new_question,
)

URL = os.environ.get("KVASIR_TEST_MONGO_URL", "")

needs_server = pytest.mark.skipif(not URL, reason="KVASIR_TEST_MONGO_URL names no MongoDB server")


@pytest.fixture(scope="module")
def client():
    from pymongo import MongoClient  # noqa: PLC0415 - an extra

    with MongoClient(URL, tz_aware=True, serverSelectionTimeoutMS=5000) as made:
        yield made


@pytest.fixture(scope="module")
def database(client):
    name = f"kvasir_test_{uuid4().hex[:12]}"
    yield client[name]
    client.drop_database(name)


@pytest.fixture
def prompts(database):
    database["prompts"].delete_many({})
    return database["prompts"]


@pytest.mark.parametrize(
    ("written", "year"),
    [
        (1_795_824_000, 2026),
        (1_795_824_000_000, 2026),
        (1_795_824_000_000.5, 2026),
        ("2026-11-28", 2026),
        ("soon", 2024),
        (float("nan"), 2024),
        (float("inf"), 2024),
        (10**30, 2024),
        (None, 2024),
    ],
)
def test_a_date_of_another_program_is_read_or_taken_from_the_id(written, year):
    mongodb = pytest.importorskip("kvasir.questions.mongodb")
    made = mongodb.ObjectId.from_datetime(datetime(2024, 5, 1, tzinfo=UTC))
    assert mongodb._date({"_id": made, "date": written}).year == year


@needs_server
class TestMongoQuestionQueue(QuestionQueueContract):
    @pytest.fixture
    def make_queue(self, prompts):
        from kvasir.questions.mongodb import MongoQuestionQueue  # noqa: PLC0415 - an extra

        scheme, rest = URL.split("://", 1)
        host, _, options = rest.partition("?")
        url = f"{scheme}://{host.partition('/')[0]}/{prompts.database.name}?{options}"
        made = []

        def make(**options):
            made.append(MongoQuestionQueue(url, **options))
            return made[-1]

        yield make
        for queue in made:
            queue.close()

    def write(self, prompts, **fields):
        """Write a record as the API of requirement document 004 does."""
        record = {
            "input": "¿A qué temperatura?",
            "date": datetime.now(UTC),
            "output": None,
            "email": "ana@example.org",
            "status": None,
        }
        return prompts.insert_one(record | fields).inserted_id

    def test_a_record_without_lease_fields_is_claimed_answered_and_mailed(self, queue, prompts):
        key = str(self.write(prompts))
        assert queue.question(key).state is QuestionState.WAITING
        taken = claimed(queue)
        assert (taken.question.id, taken.question.input) == (key, "¿A qué temperatura?")
        assert (taken.question.collection, taken.question.user_id) == ("", 0)
        assert queue.answer(key, taken.token, ANSWER)
        mail = queue.claim_mail(lease_seconds=LONG)
        assert mail.question.email == "ana@example.org"
        assert queue.mailed(key, mail.token)
        record = prompts.find_one()
        assert (record["output"], record["status"]) == (ANSWER.text, "sent")

    def test_records_of_both_kinds_are_claimed_in_the_order_of_their_dates(self, queue, prompts):
        first = str(self.write(prompts))
        sleep(0.002)
        second = queue.ask(new_question()).id
        sleep(0.002)
        third = str(self.write(prompts))
        assert queue.question(third).position == 2
        assert [claimed(queue).question.id for _ in range(3)] == [first, second, third]

    def test_a_record_that_another_program_answered_is_mailed(self, queue, prompts):
        key = str(self.write(prompts, output="A 80 °C."))
        assert queue.claim(lease_seconds=LONG) is None
        mail = queue.claim_mail(lease_seconds=LONG)
        assert (mail.question.id, mail.question.output) == (key, "A 80 °C.")
        assert mail.question.answer is None
        assert queue.mailed(key, mail.token)
        assert queue.question(key).status is MailStatus.SENT

    def test_a_record_that_another_program_mailed_is_left_alone(self, queue, prompts):
        self.write(prompts, output="A 80 °C.", status="sent")
        self.write(prompts, output="A 80 °C.", status="error_sending")
        assert queue.claim(lease_seconds=LONG) is None
        assert queue.claim_mail(lease_seconds=LONG) is None

    def test_another_programs_answer_is_not_overwritten(self, queue, prompts):
        key = str(self.write(prompts))
        taken = claimed(queue, SHORT)
        prompts.update_one({}, {"$set": {"output": "Theirs."}})
        assert not queue.answer(key, taken.token, ANSWER)
        assert not queue.fail(key, taken.token, "failed", retry_after=None)
        assert queue.question(key).output == "Theirs."
        sleep(SHORT * 2)
        assert queue.claim_mail(lease_seconds=LONG) is not None

    @pytest.mark.parametrize(
        "fields",
        [
            {"_id": 7},
            {"_id": "seven"},
            {"date": "2026-11-28"},
            {"date": 1_795_824_000_000},
            {"date": float("nan")},
        ],
    )
    def test_other_ids_and_dates_are_read(self, queue, prompts, fields):
        key = str(self.write(prompts, **fields))
        assert queue.question(key).id == key
        assert answer_next(queue) == key
        assert queue.question(key).output == ANSWER.text
