"""Mails of answers and recoveries: both languages, both forms, hostile text as text."""

from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from kvasir.core.errors import RequestError
from kvasir.core.services.mail import OutboxMail
from kvasir.core.services.questions import Question, QuestionState
from kvasir.core.types import Answer, Certainty, Chunk, Citation, Hit
from kvasir.questions.messages import Messages, domain_of, polite_refusal

HOSTILE = (
    '<script>alert(1)</script> ![x](http://evil.example/a.png) <img src="http://evil.example/b">'
    ' <a href="http://evil.example">here</a> "\'&\x1b[31m\x00\u202e'
)
CITATION = Citation(1, "d-1", "upload:ana/tea & <b>.pdf", 3, f"80 °C {HOSTILE}", 10, 40)


def question(**changes):
    answer = Answer("A 80 °C. [1]\nSegunda línea.", (CITATION,))
    fields = {
        "id": "q1",
        "input": "¿A qué temperatura?",
        "date": datetime.now(UTC),
        "output": answer.text,
        "email": "ana@example.org",
        "status": None,
        "user_id": 1,
        "collection": "té verde",
        "language": "es",
        "state": QuestionState.ANSWERED,
        "answer": answer,
    }
    return Question(**(fields | changes))


class _Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.links, self.loaded = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "href":
                self.links.append(value)
            elif name in ("src", "background", "srcset", "data", "action") or name[:2] == "on":
                self.loaded.append(value)


def test_an_answer_in_spanish_has_question_answer_and_sources():
    mail = Messages("k.org").answer(question())
    assert mail.to == "ana@example.org"
    assert mail.subject == "Respuesta: ¿A qué temperatura?"
    assert mail.message_id == "<answer-q1@k.org>"
    for form in (mail.text, mail.html):
        for part in ("Su pregunta", "¿A qué temperatura?", "A 80 °C. [1]", "Fuentes", "página 3"):
            assert part in form
    assert 'lang="es"' in mail.html


def test_an_answer_in_english():
    mail = Messages("k.org").answer(question(language="en", input="How hot?"))
    assert mail.subject == "Answer: How hot?"
    assert "Sources" in mail.text
    assert "page 3" in mail.html
    assert 'lang="en"' in mail.html


def test_an_answer_of_another_program_has_no_sources():
    mail = Messages("k.org").answer(question(answer=None, output="Sí."))
    assert "Sí." in mail.text
    assert "Fuentes" not in mail.html


@pytest.mark.parametrize("field", ["input", "output", "subject"])
def test_hostile_text_is_shown_as_text(field):
    mail = Messages("k.org", "https://k.org").answer(question(**{field: HOSTILE}))
    found = _Tags(mail.html)
    assert set(found.tags) <= {
        *("html", "head", "meta", "body", "p", "h3", "blockquote", "br", "hr", "small"),
        *("ul", "li", "q", "a"),
    }
    assert found.loaded == []
    assert all(link.startswith("https://k.org/") for link in found.links)
    if field != "subject":
        assert "&lt;script&gt;" in mail.html
    for form in (mail.text, mail.html, mail.subject):
        assert "\x1b" not in form
        assert "\x00" not in form
    assert "\n" not in mail.subject


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("/srv/course/té.pdf", "[1] té.pdf, "),
        ("upload:ana/té.pdf", "[1] té.pdf, "),
        (r"C:\course\té.pdf", "[1] té.pdf, "),
        ("https://example.org/a/b.html", "[1] https://example.org/a/b.html, "),
    ],
)
def test_a_source_is_named_without_the_folders_of_the_server(uri, shown):
    cited = replace(CITATION, source_uri=uri)
    mail = Messages("k.org").answer(question(answer=Answer("A [1]", (cited,))))
    assert shown in mail.text


@pytest.mark.parametrize(
    ("certainty", "title"),
    [(Certainty.NO, "Los pasajes más cercanos"), (Certainty.NOT_SURE, "No es seguro")],
)
def test_the_nearest_passages_are_named_where_the_answer_is_not_sure(certainty, title):
    place = {"source_uri": "/srv/course/té.pdf"}
    chunks = [Chunk(f"c{n}", "d", "x", n, n + 9, n, (), place) for n in range(1, 6)]
    hits = tuple(Hit(chunk, 1.0) for chunk in chunks)
    refused = certainty is Certainty.NO
    said = Answer("No sé.", hits=hits, refused=refused, certainty=certainty)
    mail = Messages("k.org", "https://k.org").answer(question(answer=said))
    for form in (mail.text, mail.html):
        assert title in form and form.count("té.pdf, página") == 3
        assert "start=1&" in form.replace("&amp;", "&")
    sure = replace(said, refused=False, certainty=Certainty.SURE)
    assert "té.pdf" not in Messages("k.org").answer(question(answer=sure)).text


def test_links_lead_to_our_own_server_only():
    assert _Tags(Messages("k.org").answer(question()).html).links == []
    mail = Messages("k.org", "https://kb.example.org/").answer(question())
    place = "https://kb.example.org/read/t%C3%A9%20verde/d-1"
    assert _Tags(mail.html).links == [f"{place}?start=10&end=40"]
    assert f"{place}?start=10&end=40" in mail.text


def test_the_answer_to_a_mail_stands_in_its_thread():
    asked = question(reply_to="<a@b.org>", subject="Té verde")
    mail = Messages("k.org").answer(asked)
    assert (mail.in_reply_to, mail.subject) == ("<a@b.org>", "Re: Té verde")
    again = Messages("k.org").answer(question(reply_to="<a@b.org>", subject="RE: Té verde"))
    assert again.subject == "RE: Té verde"


@pytest.mark.parametrize(
    ("language", "subject", "word"),
    [("es", "Contraseña temporal", "contraseña"), ("en", "Temporary password", "password")],
)
def test_a_recovery_in_both_languages(language, subject, word):
    content = {"username": "ana <b>", "password": "p&<4", "minutes": "20"}
    mail = Messages("k.org").of_outbox(OutboxMail("m1", "recovery", "a@b.org", language, content))
    assert "20 min" in mail.text
    assert (mail.to, mail.subject, mail.message_id) == ("a@b.org", subject, "<recovery-m1@k.org>")
    assert "p&<4" in mail.text
    assert "<code>p&amp;&lt;4</code>" in mail.html
    assert "ana &lt;b&gt;" in mail.html
    assert word in mail.text


def test_a_recovery_that_replaced_the_password_says_so():
    content = {"username": "ana", "password": "p-4"}
    mail = Messages("k.org").of_outbox(OutboxMail("m1", "recovery", "a@b.org", "en", content))
    assert "has replaced your old password" in mail.text
    assert "goes on working" not in mail.html


def test_an_unknown_kind_is_refused():
    with pytest.raises(RequestError, match="news"):
        Messages("k.org").of_outbox(OutboxMail("m1", "news", "a@b.org", "en", {}))


def test_refusals_are_polite_in_the_users_language():
    assert polite_refusal("es").startswith("Lo siento")
    assert polite_refusal("es-AR") == polite_refusal("es")
    assert polite_refusal("vi") == polite_refusal("en")


def test_the_domain_is_that_of_the_server_or_of_the_sender():
    assert domain_of("https://kb.example.org:8443/x", "k@other.org") == "kb.example.org"
    assert domain_of(None, "Kvasir <k@other.org>") == "other.org"
    assert domain_of(None, "") == "localhost"
