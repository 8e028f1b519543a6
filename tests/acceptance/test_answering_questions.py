"""``kvasir answer-questions`` and ``kvasir send-answers``, as an operator runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from smtp_server import SmtpServer, body_of

from kvasir.core.services.accounts import Role
from kvasir.core.services.questions import NewQuestion
from kvasir.services import Services
from kvasir.settings.schema import Settings

FAKE = "kvasir.testing.fakes:FakeEmbedder"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tea.txt").write_text("Green tea is brewed at 80 degrees.")
    return tmp_path


@pytest.fixture
def services(folder):
    made = Services(Settings(data_dir=folder / "kvasir-data"))
    yield made
    made.close()


def command(folder, *arguments, **options):
    environment = os.environ | {
        "KVASIR__DATA_DIR": "kvasir-data",
        "KVASIR__RAG__EMBEDDING_MODEL__TYPE": FAKE,
        "KVASIR__ANSWER__REFUSE": "false",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "kvasir", *arguments],
        cwd=folder,
        env=environment | options,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    output, errors = process.communicate(timeout=60)
    return process.returncode, output + errors


@contextmanager
def running(folder, *arguments, how, **options):
    """Run a command, and end it by a signal, which it must obey."""
    process = command(folder, *arguments, **options)
    try:
        yield
        process.send_signal(how)
        code, said = finished(process)
        assert code == 0, said
        assert "Traceback" not in said
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def wait_for(check, seconds=60.0):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_question_is_answered_and_mailed_by_processes_of_their_own(folder, services):
    code, said = finished(command(folder, "ingest", "tea.txt"))
    assert code == 0, said
    user = services.accounts.register("ana@example.org", "ana", "correct horse", role=Role.ADMIN)
    new = NewQuestion("How is green tea brewed?", user.id, user.email, "default", "es")
    asked = services.questions.ask(new)
    with running(folder, "answer-questions", how=signal.SIGTERM):
        wait_for(lambda: services.questions.question(asked.id).output)
    answered = services.questions.question(asked.id)
    assert "80 degrees" in answered.output
    assert [each.id for each in services.answer_log.export()] == [asked.id]
    with SmtpServer() as smtp:
        mail = {
            "KVASIR__MAIL__HOST": "127.0.0.1",
            "KVASIR__MAIL__PORT": str(smtp.port),
            "KVASIR__MAIL__SECURITY": "none",
            "KVASIR__MAIL__SENDER": "k@example.org",
        }
        with running(folder, "send-answers", how=signal.SIGINT, **mail):
            wait_for(lambda: services.questions.question(asked.id).status)
        (sent,) = smtp.mails
    assert sent["To"] == "ana@example.org"
    assert "80 degrees" in body_of(sent, "plain")


def test_what_is_missing_is_named_in_one_line(folder):
    code, said = finished(command(folder, "send-answers"))
    assert (code, said.count("\n")) == (3, 1)
    assert "mail.host" in said
    code, said = finished(command(folder, "answer-questions", "--server", "http://127.0.0.1:1"))
    assert code == 3
    assert "questions.api_key" in said
