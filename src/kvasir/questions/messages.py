"""The mails in Spanish and English: answers with their sources, and recoveries of passwords.

Everything that a document, a model or a user wrote is shown as text: escaped in HTML, without
control characters in both forms. A mail loads nothing and links to the server's own address only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from urllib.parse import urlsplit

from kvasir.core.errors import RequestError
from kvasir.core.links import passage_url
from kvasir.core.services.mail import Mail, OutboxMail
from kvasir.core.services.questions import Question
from kvasir.core.text import one_line, printable
from kvasir.core.types import Chunk, Citation

_SUBJECT_WIDTH = 70
_QUOTE_WIDTH = 400
_NAME_WIDTH = 200

_REPLY = re.compile(r"^\s*(re|rv|aw|sv|fwd?)\s*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Words:
    """The fixed words of one language."""

    answer_subject: str
    greeting: str
    question: str
    answer: str
    sources: str
    page: str
    open: str
    refusal: str
    nearest: str
    not_sure: str
    automatic: str
    recovery_subject: str
    recovery: str
    recovery_use: str
    recovery_replaced: str
    recovery_ignore: str
    password: str


_ENGLISH = _Words(
    answer_subject="Answer: {}",
    greeting="Hello,",
    question="Your question",
    answer="Answer",
    sources="Sources",
    page="page {}",
    open="open",
    refusal="I am sorry: I could not find the answer in the documents. You may ask in "
    "other words, or about another topic of the documents.",
    nearest="The nearest passages",
    not_sure="It is not sure that this answers your question. The nearest passages",
    automatic="This answer was written by a program from the documents. Please check it against "
    "the sources.",
    recovery_subject="Temporary password",
    recovery="A temporary password was requested for the account '{}'.",
    recovery_use="Log in with it once within {} minutes, and choose a new password. Until then "
    "your old password goes on working.",
    recovery_replaced="It has replaced your old password. Log in with it, and choose a new one.",
    recovery_ignore="If you did not request it, you need not do anything.",
    password="Temporary password",
)

_SPANISH = _Words(
    answer_subject="Respuesta: {}",
    greeting="Hola:",
    question="Su pregunta",
    answer="Respuesta",
    sources="Fuentes",
    page="página {}",
    open="abrir",
    refusal="Lo siento: no encontré la respuesta en los documentos. Puede preguntar con "
    "otras palabras, o sobre otro tema de los documentos.",
    nearest="Los pasajes más cercanos",
    not_sure="No es seguro que esto responda a su pregunta. Los pasajes más cercanos",
    automatic="Esta respuesta fue escrita por un programa a partir de los documentos. Por favor, "
    "compárela con las fuentes.",
    recovery_subject="Contraseña temporal",
    recovery="Se pidió una contraseña temporal para la cuenta '{}'.",
    recovery_use="Inicie sesión con ella una vez antes de {} minutos y elija una contraseña nueva. "
    "Hasta entonces su contraseña anterior sigue funcionando.",
    recovery_replaced="Ha reemplazado a su contraseña anterior. Inicie sesión con ella y elija una "
    "nueva.",
    recovery_ignore="Si usted no la pidió, no tiene que hacer nada.",
    password="Contraseña temporal",
)

_WORDS: Mapping[str, _Words] = MappingProxyType({"en": _ENGLISH, "es": _SPANISH})


def polite_refusal(language: str) -> str:
    """Return the text of an answer that the documents do not hold."""
    return _words(language).refusal


@dataclass(frozen=True, slots=True)
class Messages:
    """Writes mails.

    Attributes:
        domain: The domain of Message-IDs.
        public_url: The server's address for links; empty: no links.
    """

    domain: str
    public_url: str = ""

    def answer(self, question: Question) -> Mail:
        """Return the mail that answers a question."""
        words = _words(question.language)
        citations = question.answer.citations if question.answer else ()
        asked, said = _clean(question.input), _clean(question.output or "")
        sources = [self._source(each, question.collection, words) for each in citations]
        near = [self._near(each, question.collection, words) for each in _nearest(question)]
        text = [words.greeting, f"{words.question}:\n{_quoted(asked)}", f"{words.answer}:\n{said}"]
        if sources:
            lines = "\n\n".join(source.text for source in sources)
            text += [f"{words.sources}:\n{lines}", f"-- \n{words.automatic}"]
        html = [
            f"<p>{escape(words.greeting)}</p>",
            f"<h3>{escape(words.question)}</h3>",
            f"<blockquote>{_lines(asked)}</blockquote>",
            f"<h3>{escape(words.answer)}</h3>",
            f"<p>{_lines(said)}</p>",
        ]
        if sources:
            items = "".join(f"<li>{source.html}</li>" for source in sources)
            html.append(f'<h3>{escape(words.sources)}</h3><ul style="list-style:none">{items}</ul>')
            html.append(f"<hr><p><small>{escape(words.automatic)}</small></p>")
        if near and question.answer:
            title = words.nearest if question.answer.refused else words.not_sure
            lines = "\n".join(each.text for each in near)
            text.insert(len(text) - bool(sources), f"{title}:\n{lines}")
            items = "".join(f"<li>{each.html}</li>" for each in near)
            html.append(f"<h3>{escape(title)}</h3><ul>{items}</ul>")
        return Mail(
            to=question.email,
            subject=_answer_subject(question, words),
            text="\n\n".join(text) + "\n",
            html=_page(question.language, html),
            message_id=self.message_id("answer", question.id),
            in_reply_to=question.reply_to,
        )

    def of_outbox(self, mail: OutboxMail) -> Mail:
        """Return a mail that answers no question.

        Raises:
            RequestError: There is no mail of this kind.
        """
        if mail.kind != "recovery":
            raise RequestError(f"there is no mail of the kind '{mail.kind}'")
        words = _words(mail.language)
        username, password = mail.content["username"], mail.content["password"]
        about = words.recovery.format(_clean(one_line(username)))
        minutes = mail.content.get("minutes")
        use = words.recovery_use.format(minutes) if minutes else words.recovery_replaced
        text = [
            words.greeting,
            about,
            f"{words.password}: {password}",
            use,
            words.recovery_ignore,
        ]
        html = [
            f"<p>{escape(words.greeting)}</p>",
            f"<p>{escape(about)}</p>",
            f"<p>{escape(words.password)}: <code>{escape(password)}</code></p>",
            f"<p>{escape(use)}</p>",
            f"<p>{escape(words.recovery_ignore)}</p>",
        ]
        return Mail(
            to=mail.recipient,
            subject=words.recovery_subject,
            text="\n\n".join(text) + "\n",
            html=_page(mail.language, html),
            message_id=self.message_id(mail.kind, mail.id),
        )

    def message_id(self, kind: str, item: str) -> str:
        """Return the Message-ID of a mail; the same for every try."""
        return f"<{kind}-{item}@{self.domain}>"

    def _source(self, citation: Citation, collection: str, words: _Words) -> _Source:
        name = _clean(one_line(_name_of(citation.source_uri), _NAME_WIDTH))
        place = f", {words.page.format(citation.page)}" if citation.page else ""
        quoted = _clean(one_line(citation.quote, _QUOTE_WIDTH))
        head = f"[{citation.marker}] {name}{place}"
        text, html = f'{head}\n    "{quoted}"', f"{escape(head)}"
        if link := self._link(citation, collection):
            text = f"{text}\n    {link}"
            html = f'{html} (<a href="{escape(link)}">{escape(words.open)}</a>)'
        return _Source(text, f"{html}<br><q>{escape(quoted)}</q>")

    def _near(self, chunk: Chunk, collection: str, words: _Words) -> _Source:
        """Return the place of a passage that is not cited."""
        uri = str(chunk.metadata.get("source_uri", ""))
        name = _clean(one_line(_name_of(uri), _NAME_WIDTH))
        place = f", {words.page.format(chunk.page)}" if chunk.page else ""
        text, html = f"- {name}{place}", escape(f"{name}{place}")
        if link := self._link(chunk, collection):
            text = f"{text}\n    {link}"
            html = f'{html} (<a href="{escape(link)}">{escape(words.open)}</a>)'
        return _Source(text, html)

    def _link(self, passage: Citation | Chunk, collection: str) -> str:
        """Return the address of a passage on our own server."""
        if not self.public_url or not collection:
            return ""
        place = passage.document_id, passage.start, passage.end
        return passage_url(self.public_url, collection, *place)


@dataclass(frozen=True, slots=True)
class _Source:
    """A source in both forms."""

    text: str
    html: str


def _nearest(question: Question) -> tuple[Chunk, ...]:
    return tuple(hit.chunk for hit in question.answer.nearest) if question.answer else ()


def domain_of(public_url: str | None, sender: str) -> str:
    """Return the domain of Message-IDs: the server's, or that of the sender's address."""
    host = urlsplit(public_url).hostname if public_url else None
    found = host or sender.rpartition("@")[2].strip("> ")
    return re.sub(r"[^A-Za-z0-9.-]", "", found) or "localhost"


def _name_of(uri: str) -> str:
    """Return a web address as it is, and the name of a file without its folders."""
    return uri if "://" in uri else re.split(r"[/\\]", uri.rstrip("/\\"))[-1]


def _words(language: str) -> _Words:
    return _WORDS.get(language[:2].lower(), _ENGLISH)


def _answer_subject(question: Question, words: _Words) -> str:
    if question.subject:
        subject = _clean(one_line(question.subject, _SUBJECT_WIDTH * 2))
        return subject if _REPLY.match(subject) else f"Re: {subject}"
    return words.answer_subject.format(_clean(one_line(question.input, _SUBJECT_WIDTH)))


def _clean(text: str) -> str:
    """Return text without control characters, which terminals and mail programs may act on."""
    return printable(text).replace("\r", "")


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def _lines(text: str) -> str:
    return "<br>\n".join(_escaped(text))


def _escaped(text: str) -> Iterator[str]:
    return (escape(line) for line in text.splitlines())


def _page(language: str, parts: list[str]) -> str:
    lang = "es" if _words(language) is _SPANISH else "en"
    body = "\n".join(parts)
    head = '<meta charset="utf-8">'
    return f'<!doctype html>\n<html lang="{lang}"><head>{head}</head><body>\n{body}\n</body></html>'
