"""Mails are handed over to a real SMTP server, and its refusals are told apart."""

import socket
import threading
import time

import pytest
from certificates import make_contexts
from free_ports import free_port
from smtp_server import SmtpServer, body_of

from kvasir.core.errors import ComponentError, MailRefusedError, SettingsError
from kvasir.core.services.mail import Mail
from kvasir.questions.smtp import SmtpMailer

MAIL = Mail("ana@example.org", "¿Té? ☕", "Hola ñ\n.\nFin", "<p>Hola ñ</p>", "<answer-1@k.org>")
ACCOUNTS = {"kvasir@example.org": "a secret ñ"}


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    return make_contexts(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def server():
    with SmtpServer() as started:
        yield started


@pytest.fixture
def smtp(server):
    server.mails.clear()
    server.refuse = lambda command, recipient: None
    return server


def mailer(server, **options):
    chosen = {"security": "none", "sender": "Kvasir <kvasir@example.org>", "timeout": 5.0}
    return SmtpMailer("127.0.0.1", server.port, **(chosen | options))


def test_a_mail_arrives_with_its_headers_and_both_forms(smtp):
    mailer(smtp).send(MAIL)
    (mail,) = smtp.mails
    assert mail.envelope == ("kvasir@example.org", ["ana@example.org"])
    assert (mail["From"], mail["To"]) == ("Kvasir <kvasir@example.org>", "ana@example.org")
    assert (mail["Subject"], mail["Message-ID"]) == ("¿Té? ☕", "<answer-1@k.org>")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert body_of(mail, "plain").splitlines() == ["Hola ñ", ".", "Fin"]
    assert body_of(mail, "html").strip() == "<p>Hola ñ</p>"


def test_a_reply_names_a_long_message_id_as_it_is(smtp):
    asked = f"<{'m' * 300}@example.org>"
    mailer(smtp).send(
        Mail("ana@example.org", "Re: a", "b", "c", "<answer-2@k.org>", in_reply_to=asked)
    )
    (mail,) = smtp.mails
    assert f"In-Reply-To: {asked}".encode() in mail.raw
    assert f"References: {asked}".encode() in mail.raw
    assert mail["Auto-Submitted"] == "auto-replied"


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_login_and_the_mail_are_encrypted(contexts, security):
    own, trusting = contexts
    with SmtpServer(tls=own, accounts=ACCOUNTS, smtps=security == "tls") as server:
        login = {"username": "kvasir@example.org", "password": "a secret ñ"}
        mailer(server, security=security, context=trusting, **login).send(MAIL)
        assert len(server.mails) == 1
        assert server.logins == ["kvasir@example.org"]
        with pytest.raises(ComponentError, match=r"check mail\.username") as wrong:
            mailer(server, security=security, context=trusting, **login | {"password": "x"}).check()
        assert wrong.value.kind == "failed"
        assert "a secret" not in str(wrong.value)


def test_a_server_that_nobody_vouches_for_gets_no_password(contexts):
    with SmtpServer(tls=contexts[0], accounts=ACCOUNTS) as server:
        login = {"username": "kvasir@example.org", "password": "a secret ñ"}
        with pytest.raises(ComponentError, match="certificate"):
            mailer(server, security="starttls", **login).send(MAIL)
        assert server.logins == []


def test_a_server_without_encryption_gets_no_mail_if_it_is_wanted(smtp):
    with pytest.raises(ComponentError, match=r"mail\.security"):
        mailer(smtp, security="starttls").send(MAIL)
    assert smtp.mails == []


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
def test_a_reply_of_5xx_is_final_and_one_of_4xx_passes(smtp, command):
    smtp.refuse = lambda at, _: "550 no such user" if at == command else None
    with pytest.raises(MailRefusedError, match="550 no such user"):
        mailer(smtp).send(MAIL)
    smtp.refuse = lambda at, _: "451 try later" if at == command else None
    with pytest.raises(ComponentError, match="451 try later") as passing:
        mailer(smtp).send(MAIL)
    assert passing.value.kind == "busy"
    smtp.refuse = lambda at, _: "421 closing" if at == command else None
    with pytest.raises(ComponentError) as closing:
        mailer(smtp).send(MAIL)
    assert closing.value.kind == "unreachable"


@pytest.mark.parametrize("to", ["", "no address", "a@b.org\r\nBcc: c@d.org", "a@b.org, c@d.org"])
def test_an_address_that_cannot_be_written_is_refused(smtp, to):
    with pytest.raises(MailRefusedError):
        mailer(smtp).send(Mail(to, "s", "t", "h", "<x@k.org>"))
    assert smtp.mails == []


def test_a_line_break_in_a_subject_adds_no_header(smtp):
    with pytest.raises(MailRefusedError):
        mailer(smtp).send(Mail("a@b.org", "s\r\nBcc: c@d.org", "t", "h", "<x@k.org>"))
    assert smtp.mails == []


def test_a_server_that_is_not_there_is_unreachable():
    nobody = SmtpMailer("127.0.0.1", free_port(), security="none", sender="k@example.org")
    for call in (nobody.check, lambda: nobody.send(MAIL)):
        with pytest.raises(ComponentError) as gone:
            call()
        assert gone.value.kind == "unreachable"


def test_a_server_that_never_answers_is_given_up(smtp):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        patient = SmtpMailer("127.0.0.1", port, security="none", sender="k@e.org", timeout=0.2)
        begun = time.monotonic()
        with pytest.raises(ComponentError) as late:
            patient.check()
        assert late.value.kind == "unreachable"
        assert time.monotonic() - begun < 3


def test_threads_send_at_the_same_time(smtp):
    sender = mailer(smtp)
    threads = [
        threading.Thread(
            target=sender.send, args=(Mail("a@b.org", "s", "t", "h", f"<answer-{n}@k.org>"),)
        )
        for n in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(smtp.by_id) == 5


def test_a_sender_without_an_address_is_refused_at_the_start():
    with pytest.raises(SettingsError, match=r"mail\.sender"):
        SmtpMailer("127.0.0.1", 25, sender="kvasir")
