"""``passwords.json``: read if nobody else may read it; what it lacks is named."""

import json
import os

import pytest

from kvasir.core.errors import SettingsError
from kvasir.core.run import StopToken
from kvasir.questions.passwords_file import read_passwords
from kvasir.services import Services
from kvasir.settings.schema import Settings

WHOLE = {"forgot_password": "f", "smtp_password": "s", "imap_password": "i"}


@pytest.fixture
def write(tmp_path):
    def write(content, mode=0o600):
        file = tmp_path / "passwords.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        file.chmod(mode)
        return file

    return write


def test_the_three_passwords_are_read(write):
    found = read_passwords(write(WHOLE))
    assert (found.forgot_password, found.smtp_password, found.imap_password) == ("f", "s", "i")
    assert read_passwords(None).smtp_password is None


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused(write, mode):
    with pytest.raises(SettingsError, match="chmod 600"):
        read_passwords(write(WHOLE, mode))


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"smtp_password": 5}', '{"smtp_pasword": "hunter2"}', "[" * 100_000]
)
def test_a_malformed_file_is_refused_without_its_passwords(write, content):
    with pytest.raises(SettingsError) as refused:
        read_passwords(write(content))
    assert "hunter2" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"passwords\.json"):
        read_passwords(tmp_path / "passwords.json")


def services(file, **mail):
    chosen = {"host": "127.0.0.1", "username": "k@example.org", "passwords_file": file} | mail
    return Services(Settings(data_dir=file.parent / "data", mail=chosen))


@pytest.mark.parametrize(
    ("content", "options", "recovery", "says"),
    [
        ({"forgot_password": "f"}, {}, False, "'smtp_password', so answers cannot be mailed"),
        (
            {"smtp_password": "s"},
            {"recovery_username": "r@example.org"},
            True,
            "'forgot_password', so temporary passwords cannot be mailed",
        ),
    ],
)
def test_a_missing_key_names_what_will_not_work(write, content, options, recovery, says):
    with pytest.raises(SettingsError, match=says):
        services(write(content), **options).make_mailer(recovery=recovery)


def test_each_account_has_its_own_password(write):
    made = services(write(WHOLE), recovery_username="r@example.org")
    answers, recoveries = made.make_mailer(), made.make_mailer(recovery=True)
    assert (answers._username, answers._password) == ("k@example.org", "s")
    assert (recoveries._username, recoveries._password) == ("r@example.org", "f")


def test_one_account_may_have_a_password_for_recoveries(write):
    assert services(write(WHOLE)).make_mailer(recovery=True)._password == "f"
    assert services(write({"smtp_password": "s"})).make_mailer(recovery=True)._password == "s"


def test_a_password_in_the_settings_comes_before_the_file(write):
    assert services(write(WHOLE), password="own").make_mailer()._password == "own"


def workers(made):
    try:
        return [type(each).__name__ for each in made.make_mail_workers(StopToken())]
    finally:
        made.close()


def test_the_workers_of_mail_are_those_that_have_a_password(write, caplog):
    imap = {"host": "127.0.0.1"}
    assert workers(services(write(WHOLE), imap=imap)) == ["MailSender", "ImapIntake"]
    assert caplog.text == ""
    assert workers(services(write({"smtp_password": "s"}), imap=imap)) == ["MailSender"]
    assert "'imap_password', so questions by mail cannot be read" in caplog.text
    caplog.clear()
    assert workers(services(write({"imap_password": "i"}), imap=imap)) == ["ImapIntake"]
    assert "'smtp_password', so answers cannot be mailed" in caplog.text


def test_without_a_server_for_mail_nothing_is_sent_and_that_is_said(write, caplog):
    assert workers(services(write(WHOLE), host=None)) == []
    assert "mail.host is not set: no mail is sent" in caplog.text


def test_a_check_of_the_settings_reads_the_file_without_a_server_for_mail_too(tmp_path):
    with pytest.raises(
        SettingsError, match=r"cannot be read.*; write it, or set mail\.passwords_file"
    ):
        services(tmp_path / "passwords.json", host=None).check()


def test_an_unusable_file_is_refused_at_the_start(write):
    with pytest.raises(SettingsError, match="chmod 600"):
        workers(services(write(WHOLE, 0o644)))


@pytest.mark.parametrize("key", WHOLE)
def test_a_check_of_the_settings_names_the_missing_key(write, key):
    options = {"imap": {"host": "127.0.0.1"}, "recovery_username": "r@example.org"}
    services(write(WHOLE), **options).check()
    lacking = {name: value for name, value in WHOLE.items() if name != key}
    with pytest.raises(SettingsError, match=f"has no '{key}'"):
        services(write(lacking), **options).check()
