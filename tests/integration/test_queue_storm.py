"""Questions are answered and mailed once each, whatever happens to workers and servers."""

import pytest
from databases import ENGINES
from own_servers import own_database
from queue_storm import Storm, run_storm

STORM = Storm(
    questions=40,
    answer_seconds=0.05,
    lease_seconds=1.0,
    kill_every=0.8,
    max_attempts=30,
    first_delay=0.3,
    limit_seconds=60.0,
)


# aiosmtpd leaves connections behind that are open when it stops.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("engine", ENGINES)
def test_every_question_is_answered_and_mailed_once(engine, tmp_path):
    with own_database(engine, tmp_path) as database:
        outcome = run_storm(database, tmp_path, STORM)
    outcome.check(STORM)
