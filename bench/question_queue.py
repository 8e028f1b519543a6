"""Asks many questions while workers are killed, mail is refused and the database restarts.

    python bench/question_queue.py                  500 questions on SQLite, PostgreSQL and MariaDB
    python bench/question_queue.py sqlite --questions 100

Three workers answer, each in a process of its own; one of them is killed by SIGKILL every few
seconds. An answer takes a tenth of a second, as it does not on a small server: what is measured is
the queue. The script fails if a question is not answered once, or its mail not delivered once.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from databases import ENGINES
from own_servers import own_database
from queue_storm import Storm, run_storm


def main() -> None:
    """Run the storm on each database, and print what was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("engines", nargs="*", default=list(ENGINES), metavar="ENGINE")
    parser.add_argument("--questions", type=int, default=500)
    chosen = parser.parse_args()
    logging.disable(logging.ERROR)
    storm = Storm(questions=chosen.questions)
    print(
        "| database | questions | seconds | claims | killed | mails refused | mails twice | lost |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for engine in chosen.engines:
        with tempfile.TemporaryDirectory() as place, own_database(engine, Path(place)) as database:
            found = run_storm(database, Path(place), storm)
        twice = sum(number for times, number in found.mails.items() if times > 1)
        print(
            f"| {engine} | {found.questions} | {found.seconds:.0f} | {found.claims} "
            f"| {found.kills} | {found.refused} | {twice} | {found.mails[0]} |",
            flush=True,
        )
        found.check(storm)


if __name__ == "__main__":
    main()
