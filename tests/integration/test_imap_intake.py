"""Questions by mail: from registered users only, each once, never from a program."""

import time
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from certificates import make_contexts
from free_ports import free_port
from imap_server import ImapServer
from smtp_server import SmtpServer

from kvasir.core.errors import ComponentError, RateLimitedError, RejectedDataError
from kvasir.core.run import StopToken
from kvasir.core.services.accounts import Role, User
from kvasir.database import open_database
from kvasir.questions.imap import ImapIntake, Mailbox
from kvasir.questions.messages import Messages
from kvasir.questions.outbox import SqlOutbox
from kvasir.questions.sending import MailSender
from kvasir.questions.smtp import SmtpMailer
from kvasir.questions.sql import SqlQuestionQueue
from kvasir.testing.questions import answer_next

OWN = "kvasir@example.org"
ANA = User(7, "Ana@Example.org", "ana", Role.USER, "es", False, datetime.now(UTC))
BOB = User(8, "bob@example.org", "bob", Role.USER, "en", False, datetime.now(UTC))


@pytest.fixture
def imap():
    with ImapServer() as server:
        yield server


@pytest.fixture
def engine(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/service.db")
    yield engine
    engine.dispose()


@pytest.fixture
def queue(engine):
    return SqlQuestionQueue(engine)


@pytest.fixture
def make(imap, queue):
    def make(password="a secret", port=None, **options):
        mailbox = Mailbox(
            "127.0.0.1",
            port or imap.port,
            security="none",
            username=OWN,
            password=password,
            timeout=5.0,
        )
        find = {user.email.casefold(): user for user in (ANA, BOB)}
        return ImapIntake(
            mailbox,
            queue,
            lambda address: find.get(address.casefold()),
            collection="course",
            own_address=OWN,
            stop=StopToken(),
            **options,
        )

    return make


def mail(text="¿A qué temperatura?", **headers):
    message = EmailMessage(policy=SMTP)
    fields = {
        "From": "Ana <ana@example.org>",
        "To": OWN,
        "Subject": "Té verde ☕",
        "Message-ID": "<m-1@example.org>",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in fields.items():
        if value:
            message[name] = value
    message.set_content(text)
    return message.as_bytes()


def test_a_mail_becomes_a_question_and_is_seen(imap, queue, make):
    imap.add(mail())
    make().work_once()
    (question,) = queue.questions()
    assert question.input == "¿A qué temperatura?"
    assert (question.user_id, question.email, question.language) == (7, "Ana@Example.org", "es")
    assert (question.collection, question.reply_to) == ("course", "<m-1@example.org>")
    assert question.subject == "Té verde ☕"
    assert imap.unseen == 0


def test_the_answer_stands_in_the_thread_of_the_question(imap, queue, engine, make):
    imap.add(mail())
    make().work_once()
    answer_next(queue)
    with SmtpServer() as smtp:
        mailer = SmtpMailer("127.0.0.1", smtp.port, security="none", sender=OWN)
        sender = MailSender(
            queue,
            SqlOutbox(engine),
            Messages("example.org"),
            mailer=mailer,
            recovery_mailer=None,
            stop=StopToken(),
        )
        assert sender.work_once()
        (answer,) = smtp.mails
    assert answer["To"] == "Ana@Example.org"
    assert answer["In-Reply-To"] == answer["References"] == "<m-1@example.org>"
    assert answer["Subject"] == "Re: Té verde ☕"
    assert answer["Auto-Submitted"] == "auto-replied"
    # Our own answer, should it come back, is no question.
    imap.add(answer.raw)
    imap.add(answer.raw.replace(b"From: kvasir@example.org", b"From: ana@example.org"))
    make().work_once()
    assert len(queue.questions()) == 1
    assert imap.unseen == 0


def test_the_same_mail_twice_is_one_question(imap, queue, make):
    imap.add(mail())
    imap.add(mail())
    intake = make()
    intake.work_once()
    imap.mails[0].flags.clear()
    intake.work_once()
    assert len(queue.questions()) == 1
    imap.add(mail(Message_ID="<m-2@example.org>"))
    intake.work_once()
    assert len(queue.questions()) == 2


def test_a_mail_without_a_message_id_is_one_question_too(imap, queue, make):
    imap.add(mail(Message_ID=""))
    imap.add(mail(Message_ID=""))
    imap.add(mail("Another?", Message_ID=""))
    make().work_once()
    assert len(queue.questions()) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"From": "Eve <eve@example.org>"},
        {"From": ""},
        {"Auto_Submitted": "auto-replied"},
        {"Precedence": "bulk"},
        {"From": '"ana@example.org" <mailer-daemon@example.org>'},
        {"From": f"Kvasir <{OWN}>"},
        {"List_Id": "<list.example.org>"},
    ],
)
def test_strangers_and_programs_ask_nothing_and_get_no_answer(imap, queue, make, headers):
    imap.add(mail(**headers))
    make().work_once()
    assert queue.questions() == []
    assert imap.unseen == 0


def test_the_answer_goes_to_the_registered_address_whatever_the_mail_says(imap, queue, make):
    imap.add(mail(Reply_To="eve@example.org", Sender="eve@example.org"))
    make().work_once()
    assert queue.questions()[0].email == "Ana@Example.org"


def test_a_mail_is_seen_only_after_its_question_is_stored(imap, queue, make, monkeypatch):
    imap.add(mail())

    def fail(question):
        raise ComponentError("catalog", "writing", "gone")

    intake = make()
    with monkeypatch.context() as patched:
        patched.setattr(queue, "ask", fail)
        with pytest.raises(ComponentError):
            intake.work_once()
    assert imap.unseen == 1
    intake.work_once()
    assert (len(queue.questions()), imap.unseen) == (1, 0)


def test_a_connection_that_breaks_before_the_mark_leads_to_no_second_question(imap, queue, make):
    imap.add(mail())
    imap.is_broken_after_fetch = True
    with pytest.raises(ComponentError) as broken:
        make().work_once()
    assert broken.value.kind == "unreachable"
    assert (len(queue.questions()), imap.unseen) == (1, 1)
    imap.is_broken_after_fetch = False
    make().work_once()
    assert (len(queue.questions()), imap.unseen) == (1, 0)


def test_a_user_who_asked_too_much_waits(imap, queue, make):
    imap.add(mail())

    def refuse(user):
        raise RateLimitedError("too many questions", 60.0)

    make(allow=refuse).work_once()
    assert (queue.questions(), imap.unseen) == ([], 1)
    make().work_once()
    assert (len(queue.questions()), imap.unseen) == (1, 0)


def test_a_user_who_asked_too_much_holds_up_nobody_else(imap, queue, make, monkeypatch):
    monkeypatch.setattr("kvasir.questions.imap._AT_ONCE", 2)
    for number in range(3):
        imap.add(mail(Message_ID=f"<ana-{number}@example.org>"))
    imap.add(mail(From="Bob <bob@example.org>", Message_ID="<bob@example.org>"))

    def refuse(user):
        if user is ANA:
            raise RateLimitedError("too many questions", 60.0)

    intake = make(allow=refuse)
    for _ in range(2):
        intake.work_once()
    assert [question.user_id for question in queue.questions()] == [BOB.id]
    assert imap.unseen == 3


_NESTED = b"".join(
    b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (depth, depth)
    for depth in range(300)
)


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Type: text/html\n\n<![ <!-x <!DOCTYPE [ <!ENTITY a><p>What tea?",
        b"MIME-Version: 1.0\n" + _NESTED + b"\nWhat tea?\n",
    ],
    ids=["html", "nested"],
)
def test_a_mail_that_cannot_be_read_holds_up_no_other_one(imap, queue, make, rest):
    imap.add(b"From: ana@example.org\nMessage-ID: <bad@example.org>\nSubject: a\n" + rest)
    imap.add(mail())
    make().work_once()
    assert [question.reply_to for question in queue.questions()] == ["<m-1@example.org>"]
    assert imap.unseen == 0


@pytest.mark.parametrize("reply", ["NO", "BYE"])
def test_a_mail_that_the_server_withholds_holds_up_no_other_one(imap, queue, make, reply):
    for number in range(2):
        imap.add(mail(Message_ID=f"<m-{number}@example.org>"))
    imap.withheld[1] = reply
    intake = make(seconds=0.2)
    for _ in range(2):
        with suppress(ComponentError):
            intake.work_once()
    assert (len(queue.questions()), imap.unseen) == (1, 1)
    imap.withheld.clear()
    end = time.monotonic() + 60
    while imap.unseen and time.monotonic() < end:
        intake.work_once()
        time.sleep(0.02)
    assert (len(queue.questions()), imap.unseen) == (2, 0)


def test_a_mail_that_the_database_refuses_holds_up_no_other_one(imap, queue, make, monkeypatch):
    ask = queue.ask

    def refuse_first(question):
        if question.reply_to == "<bad@example.org>":
            raise RejectedDataError("catalog", "writing", "out of range")
        return ask(question)

    monkeypatch.setattr(queue, "ask", refuse_first)
    imap.add(mail(Message_ID="<bad@example.org>"))
    imap.add(mail())
    make().work_once()
    assert (len(queue.questions()), imap.unseen) == (1, 0)


def test_an_answer_to_our_mail_asks_its_own_text_only(imap, queue, make):
    text = "¿Y el té negro?\n\nEl lun, 3 nov 2026, Kvasir <k@e.org> escribió:\n> A 80 °C.\n"
    imap.add(mail(text, In_Reply_To="<answer-1@example.org>"))
    make().work_once()
    assert queue.questions()[0].input == "¿Y el té negro?"


def test_the_mailbox_is_read_over_tls_from_a_trusted_server_only(tmp_path):
    own, trusting = make_contexts(tmp_path)
    with ImapServer(tls=own) as server:
        server.add(mail())
        account = {"username": OWN, "password": "a secret", "timeout": 5.0}
        with Mailbox("127.0.0.1", server.port, context=trusting, **account).open() as box:
            assert [each.subject for each in box.fetch(mark_seen=False)] == ["Té verde ☕"]
        seen = len(server.commands)
        with (
            pytest.raises(ComponentError, match="certificate"),
            Mailbox("127.0.0.1", server.port, **account).open(),
        ):
            pass
        assert server.commands[seen:] == []


def test_a_wrong_password_and_a_missing_server_are_named(make):
    with pytest.raises(ComponentError, match=r"mail\.imap\.username") as wrong:
        make(password="no").work_once()
    assert wrong.value.kind == "failed"
    with pytest.raises(ComponentError) as gone:
        make(port=free_port()).work_once()
    assert gone.value.kind == "unreachable"
