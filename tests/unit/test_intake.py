"""Which mails are questions, and what they ask."""

import pytest

from kvasir.questions.intake import key_of, message_id_of, question_in, sender_of, why_automatic

OWN = "kvasir@example.org"
PERSON = {"from": "Ana <ana@example.org>", "message-id": "<1@example.org>", "subject": "Té"}


def test_a_mail_of_a_person_is_a_question():
    assert why_automatic(PERSON, OWN) == ""
    assert why_automatic(PERSON | {"auto-submitted": "no"}, OWN) == ""
    assert why_automatic(PERSON | {"precedence": "normal", "return-path": "<ana@x>"}, OWN) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"auto-submitted": "auto-replied"},
        {"auto-submitted": "Auto-Generated; x=y"},
        {"precedence": "bulk"},
        {"precedence": "AUTO_REPLY"},
        {"x-autoreply": "yes"},
        {"list-id": "<list.example.org>"},
        {"return-path": "<>"},
        {"content-type": "multipart/report; report-type=delivery-status"},
        {"from": "MAILER-DAEMON@example.org"},
        {"from": "no-reply@example.org"},
        {"from": "Kvasir <KVASIR@example.org>"},
    ],
)
def test_a_mail_of_a_program_is_none(headers):
    assert why_automatic(PERSON | headers, OWN)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("How hot?\n", "How hot?"),
        ("How hot?\n\nOn Mon, Ana wrote:\n> old\n", "How hot?"),
        ("¿Cuánto?\n\nEl lun., 3 nov. 2026, Kvasir <k@x> escribió:\n> viejo", "¿Cuánto?"),
        ("How hot?\n-- \nAna\nSchool", "How hot?"),
        ("> quoted\nHow hot?", "How hot?"),
        ("Hi\n-----Original Message-----\nold", "Hi"),
        ("", "The subject"),
        ("> only quoted", "The subject"),
    ],
)
def test_a_question_is_the_mails_own_text(text, asked):
    assert question_in(text, "", "The subject") == asked


def test_a_question_in_html_is_its_text():
    html = (
        "<html><head><style>p {}</style></head><body><p>How <b>hot</b>?</p>"
        "<script>x()</script><blockquote>old</blockquote></body></html>"
    )
    assert question_in(" ", html, "s") == "How hot?"


def test_message_ids_that_break_headers_are_not_used():
    assert message_id_of({"message-id": " <a@b.org> "}) == "<a@b.org>"
    assert message_id_of({"message-id": "a@b.org"}) == ""
    assert message_id_of({"message-id": f"<{'a' * 2000}@b>"}) == ""
    assert message_id_of({}) == ""


def test_the_same_mail_has_the_same_key():
    assert key_of("<a@b>", b"x") == key_of("<a@b>", b"y") != key_of("<c@b>", b"x")
    assert key_of("", b"x") == key_of("", b"x") != key_of("", b"y")
    assert len(key_of("<a@b>", b"")) < 100


def test_the_sender_is_the_address_of_from():
    assert sender_of({"from": '"b@c.org" <Ana@Example.org>'}) == "Ana@Example.org"
