import gc
import threading
import warnings
from dataclasses import replace

import pytest
from table_questions import found

from kvasir.answering.answers import INCOMPLETE, IS_CUT, Answerer
from kvasir.answering.evidence import FEATURES
from kvasir.answering.follow_ups import NOTHING_MORE
from kvasir.answering.prompts import estimate_tokens
from kvasir.answering.refusal import NO_DOCUMENTS, NOTHING_MATCHES, REFUSALS, Calibration, refusal
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.core.deadline import deadline
from kvasir.core.errors import ClosedError, ComponentError, RequestError, SettingsError
from kvasir.core.pieces import CutReason, Incomplete
from kvasir.core.types import (
    Certainty,
    Chunk,
    Comparison,
    Finished,
    Hit,
    Message,
    Retrieved,
    SearchRequest,
    Text,
)
from kvasir.testing.fakes import FakeEmbedder

YEAR = Comparison("year", "==", 1)
TEXT = "Kvasir was made by the gods. Two dwarfs brewed mead of his blood."


def hit(text=TEXT, number=0, dense=0.9, language="en"):
    metadata = {"language": language, "source_uri": f"/{number}.md"}
    return Hit(Chunk(f"c{number}", f"d{number}", text, 0, len(text), metadata=metadata), 1.0, dense)


class Hits:
    def __init__(self, *hits):
        self.hits, self.asked = list(hits), []

    def retrieve(self, request):
        self.asked.append(request)
        return self.hits[: request.top_k]


class Says:
    """A generator that says what it is told to."""

    def __init__(self, *pieces, window=None, answer_tokens=1024):
        self.pieces, self.prompts, self.window = pieces, [], window
        self.answer_tokens = answer_tokens

    def context_tokens(self):
        return self.window

    def generate(self, prompt):
        self.prompts.append(prompt)
        yield from self.pieces


def make(generator, *hits, **options):
    analyzer = Bm25Analyzer()
    options = {"analyzer": analyzer, "embedder": FakeEmbedder()} | options
    return Answerer(Hits(*hits), generator, **options)


def test_an_answer_streams_and_is_whole_afterwards():
    stream = make(Says("Kvasir was ", "made by the gods [", "1]."), hit()).stream(
        SearchRequest("Who made Kvasir?")
    )
    retrieved, *pieces, finished = stream
    answer = stream.answer
    assert finished == Finished(answer)
    assert retrieved == Retrieved(answer.hits) == Retrieved((hit(),))
    assert len(pieces) > 1
    assert all(isinstance(piece, Text) for piece in pieces)
    assert (
        "".join(piece.text for piece in pieces) == answer.text == "Kvasir was made by the gods [1]."
    )
    assert not answer.refused
    assert answer.confidence > 0.5
    (citation,) = answer.citations
    assert TEXT[citation.start : citation.end] == citation.quote == "Kvasir was made by the gods."
    assert set(answer.timings) == {"retrieve", "generate", "total"}


def test_the_answer_may_be_read_without_the_pieces():
    assert (
        make(Says("The gods did [1]."), hit())
        .stream(SearchRequest("Who made Kvasir?"))
        .answer.citations
    )


def test_invented_markers_are_removed_and_counted():
    answer = make(Says("The gods made him [1][3]. He flew to Mars [9]."), hit()).ask(
        SearchRequest("Who made Kvasir?")
    )
    assert answer.text == "The gods made him [1]. He flew to Mars. [not found in the sources]"
    assert (answer.unsupported_sentences, answer.checked_sentences) == (1, 2)
    assert answer.removed_citations == 2


def test_a_word_that_is_excluded_is_not_missing():
    answerer = make(Says("The gods [1]."), hit())
    plain = answerer.ask(SearchRequest("Who made Kvasir?"))
    excluding = answerer.ask(SearchRequest("Who made Kvasir? -Suttung"))
    assert excluding.confidence == plain.confidence
    assert answerer.ask(SearchRequest("Who made Kvasir? Suttung")).confidence < plain.confidence


def test_a_word_that_is_excluded_is_no_condition_on_a_table():
    rows = [["Town", "Sales"], ["Rome", "5"], ["Oslo", "7"]]
    found_hit, version = found(rows)
    analyzer = Bm25Analyzer()
    generator = ExtractiveGenerator(FakeEmbedder(), analyzer)
    answerer = make(generator, found_hit, find_version={"d0": version}.get)
    assert "is 12." in answerer.ask(SearchRequest("What are the total sales?")).text
    assert "is 12." not in answerer.ask(SearchRequest("What are the total sales? -Bergen")).text


def test_sentences_are_not_checked_if_that_is_switched_off():
    generator = Says("The gods made him [1]. He flew to Mars.")
    answerer = replace(make(generator, hit()), check_sentences=False)
    answer = answerer.ask(SearchRequest("Who made Kvasir?"))
    assert answer.text == "The gods made him [1]. He flew to Mars."
    assert answer.checked_sentences == 0


def test_a_question_without_hits_is_refused_and_no_model_is_asked():
    generator = Says("something")
    answer = make(generator).ask(SearchRequest("Who made Kvasir?"))
    assert answer.refused
    assert answer.text == REFUSALS["en"]
    assert answer.confidence == 0.0
    assert not generator.prompts


def test_a_question_beside_the_documents_is_refused_and_no_model_is_asked():
    generator = Says("something")
    found = hit(dense=0.55)
    answer = make(generator, found).ask(SearchRequest("What is the capital gains tax in Portugal?"))
    assert answer.refused
    assert answer.hits == (found,)
    assert answer.confidence < 0.3
    assert not generator.prompts


def test_refusing_can_be_switched_off():
    answerer = make(Says("The gods did [1]."), hit(dense=0.55), refuse=False)
    assert not answerer.ask(SearchRequest("What is the capital gains tax in Portugal?")).refused


def test_a_calibration_of_the_collection_decides():
    never = Calibration((0.0,) * len(FEATURES), bias=5.0)
    always = Calibration((0.0,) * len(FEATURES), bias=-5.0)
    question = "Who made Kvasir?"
    assert (
        make(Says("The gods [1]."), hit(), calibration=always).ask(SearchRequest(question)).refused
    )
    assert (
        not make(Says("The gods [1]."), hit(), calibration=never)
        .ask(SearchRequest(question))
        .refused
    )


@pytest.mark.parametrize(
    "said",
    [
        "I cannot find the answer in the documents.",
        "I'm sorry, but I don't know.",
        "The sources do not mention who made Kvasir.",
        "No puedo encontrar la respuesta en el contexto.",
        "Tôi không tìm thấy thông tin này.",
        "根据提供的资料，无法回答这个问题。",
        "I cannot find the answer in the sources [1].",
        "",
        *REFUSALS.values(),
        "Unfortunately, I was unable to find this.",
        "The answer cannot be found in the given context.",
        "This is not mentioned in the provided documents.",
        "There is no information about this in the sources.",
        "The documents don't say who made him.",
        "I don't have enough information to answer.",
        "Cannot answer from the sources.",
        "El contexto no menciona quién lo hizo.",
        "No hay información sobre esto en los documentos.",
        "Ich weiß es nicht.",
        "Das kann ich anhand der Quellen nicht beantworten.",
        "Leider konnte ich keine Antwort finden.",
        "Die Dokumente enthalten keine Informationen dazu.",
        "In den Dokumenten steht dazu nichts.",
        "Die Quellen geben darüber keine Auskunft.",
        "Je ne suis pas en mesure de répondre.",
        "Die Frage wird in den Quellen nicht beantwortet.",
        "Ich kann Ihnen dazu nichts sagen.",
        "Die Frage kann ich leider nicht beantworten.",
        "The documents do not contain the maker's name.",
        "The provided context does not give any information about this.",
        "Document 1 does not mention him.",
        "Les documents ne donnent aucune information sur ce point.",
        "Les extraits fournis ne permettent pas de répondre.",
        "Je ne peux pas répondre à cette question.",
        "Los documentos no ofrecen información sobre esto.",
        "Dazu gibt es in den Quellen keine Angaben.",
        "Wer ihn schuf, geht aus den Dokumenten nicht hervor.",
        "Je ne sais pas.",
        "Désolé, je n'ai pas trouvé la réponse.",
        "Les documents ne contiennent aucune information à ce sujet.",
        "Cette information ne figure pas dans les sources.",
        "Il n'y a aucune information sur ce point dans le contexte.",
        "Tài liệu không đề cập đến điều này.",
        "文档中没有提到是谁造的。",
        "抱歉，我不知道。",
    ],
)
def test_a_model_that_does_not_know_counts_as_a_refusal(said):
    answer = make(Says(said), hit()).ask(SearchRequest("Who made Kvasir?"))
    assert answer.refused
    assert answer.text


@pytest.mark.parametrize(
    "said",
    [
        "Kvasir was made by the gods [1].",
        "The dwarfs did not say who Kvasir's blood was brewed for [1].",
        "Who cannot find the mead asks the dwarfs [1].",
    ],
)
def test_an_answer_with_citations_is_no_refusal(said):
    assert not make(Says(said), hit()).ask(SearchRequest("Who made Kvasir?")).refused


@pytest.mark.parametrize(
    "said",
    [
        "The ticket price does not include breakfast.",
        "Visitors cannot find parking there on Sundays.",
        "The pass did not provide shelter, and no answer came from the hut.",
        "Gold is not found in the north.",
        "You do not know the result before Monday.",
        "El precio no incluye el desayuno.",
        "El agua no se puede determinar por su color.",
        "Der Preis enthält kein Frühstück.",
        "Man kann dort nicht parken, und es gibt keine Garage.",
        "Le prix ne comprend pas le petit déjeuner.",
        "On ne trouve pas de neige en été.",
        "Giá phòng không cung cấp bữa sáng.",
        "酒店没有提供早餐。",
        "游客在那里找不到停车位。",
        "我无法更改这一点，宠物不得入内。",
        "Ich kann bestätigen, dass Haustiere nicht erlaubt sind [1].",
        "Leider sind Haustiere nicht erlaubt; ich kann das nicht ändern [1].",
        "Ich weiß, dass Haustiere nicht erlaubt sind [1].",
        "Je ne peux pas modifier cette règle : les animaux sont interdits [1].",
        "Documents without a date have no legal force.",
        "Documents that have no signature are rejected.",
        "The documents that contain no signature are rejected.",
        "The document does not give a right to a refund.",
        "Die Unterlagen müssen nicht beglaubigt sein, sagt das Amt.",
        "Nach dem Text gibt es keine Gebühr.",
        "Le document ne donne pas droit à un remboursement.",
        "Les documents qui ne contiennent pas de date sont refusés.",
        "Los documentos que no incluyen firma se rechazan.",
        "El documento no ofrece derecho a un reembolso.",
    ],
)
def test_an_answer_that_denies_something_is_no_refusal(said):
    assert not make(Says(said), hit()).ask(SearchRequest("Who made Kvasir?")).refused


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Wie viele Einwohner hat die Hauptstadt?", "de"),
        ("Combien d'habitants compte la capitale ?", "fr"),
        ("What is the population of the capital?", "en"),
        ("¿Cuál es la población de la capital?", "es"),
        ("Dân số của thủ đô là bao nhiêu?", "vi"),
        ("首都的人口是多少？", "zh"),
        ("Какова численность населения столицы?", "en"),
    ],
)
def test_refusals_are_in_the_question_s_language(question, language):
    assert refusal(question, [hit()]) == REFUSALS[language]


@pytest.mark.parametrize(
    ("question", "said", "shown"),
    [
        ("¿Quién hizo a Kvasir?", "I cannot find the answer in the documents.", REFUSALS["es"]),
        ("¿Quién hizo a Kvasir?", "No lo sé.", "No lo sé."),
        ("Wer hat Kvasir gemacht?", "I cannot find the answer in the documents.", REFUSALS["de"]),
        ("Qui a fait Kvasir, le sage ?", "Désolé, je ne sais pas.", "Désolé, je ne sais pas."),
        ("Who made Kvasir, the wisest?", "Lo siento, no lo sé.", REFUSALS["en"]),
    ],
)
def test_a_model_s_refusal_in_another_language_is_shown_in_that_of_the_question(
    question, said, shown
):
    pieces = [said[:9], said[9:20], said[20:]]
    stream = make(Says(*pieces), hit(), refuse=False).stream(SearchRequest(question))
    streamed = "".join(event.text for event in stream if isinstance(event, Text))
    assert stream.answer.refused
    assert streamed == stream.answer.text == shown


def test_a_model_is_asked_to_refuse_in_the_question_s_language():
    generator = Says("Los dioses [1].")
    make(generator, hit(), refuse=False).ask(SearchRequest("¿Quién hizo a Kvasir?"))
    system = generator.prompts[0].messages[0].content
    assert REFUSALS["es"] in system
    assert REFUSALS["en"] not in system


def test_an_answer_that_cannot_be_a_refusal_is_not_held_back():
    seen = []

    class Watched:
        def generate(self, prompt):
            for piece in ("Kvasir was ", "made by the gods ", "[1]."):
                seen.append(piece)
                yield piece

    stream = make(Watched(), hit()).stream(SearchRequest("Who made Kvasir?"))
    assert isinstance(next(stream), Retrieved)
    assert next(stream) == Text("Kvasir was")
    assert len(seen) == 1


def test_what_the_caller_asks_for_reaches_the_retriever():
    answerer = make(Says("The gods did [1]."), hit())
    request = SearchRequest("Who made Kvasir?", 3, 0.2, Comparison("lang", "==", "en"))
    assert answerer.ask(request).citations
    assert answerer.retriever.asked == [request]


def test_the_conversation_reaches_the_model_before_the_question():
    generator = Says("The gods did [1].")
    history = [Message("user", "Hello"), Message("assistant", "Hi")]
    make(generator, hit()).ask(SearchRequest("Who made Kvasir?"), history=history)
    roles = [message.role for message in generator.prompts[0].messages]
    assert roles == ["system", "user", "assistant", "user"]


def test_markers_count_the_chunks_that_fitted_the_window():
    long = hit("Kvasir was made. " * 800, 1)
    generator = Says("The gods made Kvasir [1].", window=2048)
    answer = make(generator, long, hit()).ask(SearchRequest("Who made Kvasir?"))
    assert [h.chunk.id for h in generator.prompts[0].hits] == ["c0"]
    assert answer.hits[0].chunk.id == "c0"
    assert answer.citations[0].document_id == "d0"
    assert len(answer.hits) == 2


@pytest.mark.parametrize("answer_tokens", [256, 1024, 1500])
def test_the_prompt_fills_what_the_longest_answer_leaves_of_the_window(answer_tokens):
    generator = Says("The gods made Kvasir [1].", window=2048, answer_tokens=answer_tokens)
    hits = [hit("Kvasir was made. " * 5, number) for number in range(80)]
    make(generator, *hits).ask(SearchRequest("Who made Kvasir?", top_k=80))
    used = sum(estimate_tokens(m.content) + 8 for m in generator.prompts[0].messages)
    assert 2048 - 100 < used + answer_tokens <= 2048


def test_a_window_too_small_for_any_passage_says_what_to_do():
    with pytest.raises(SettingsError, match="longer context"):
        make(Says("x", window=1100), hit("Kvasir was made. " * 400)).ask(
            SearchRequest("Who made Kvasir?")
        )


def test_an_empty_question_is_a_user_error():
    with pytest.raises(RequestError, match="empty"):
        make(Says("x"), hit()).ask(SearchRequest("  "))


@pytest.mark.parametrize("question", ["?", "...!", "—¿?"])
def test_a_question_without_letter_or_digit_is_a_user_error(question):
    with pytest.raises(RequestError, match="no letter or digit"):
        make(Says("x"), hit()).ask(SearchRequest(question))
    assert make(Says("x"), hit()).ask(SearchRequest("1?")).text


def test_a_refusal_says_when_the_filters_matched_nothing():
    assert (
        make(Says("x")).ask(SearchRequest("Who made him?", filters=YEAR)).text
        == NOTHING_MATCHES["en"]
    )
    assert (
        make(Says("x")).ask(SearchRequest("¿Quién lo hizo?", filters=YEAR)).text
        == NOTHING_MATCHES["es"]
    )
    assert make(Says("x")).ask(SearchRequest("Who made him?")).text == REFUSALS["en"]


@pytest.mark.parametrize(
    ("question", "code"),
    [("Who made him?", "en"), ("¿Quién fue?", "es"), ("Wer hat ihn gemacht?", "de")],
)
def test_a_refusal_says_when_there_is_no_document_at_all(question, code):
    answerer = replace(make(Says("x")), has_documents=lambda: False)
    for filters in (None, YEAR):
        assert answerer.ask(SearchRequest(question, filters=filters)).text == NO_DOCUMENTS[code]


def test_a_refusal_is_in_a_language_that_its_sayings_have():
    assert set(REFUSALS) == set(NOTHING_MATCHES) == set(NO_DOCUMENTS) == set(NOTHING_MORE)
    assert refusal("Wie viele Einwohner hat Köln?", [], NOTHING_MORE) == NOTHING_MORE["de"]
    only = {"en": "No.", "de": "Nein."}
    assert refusal("Combien d'habitants compte la ville de Lyon ?", [], only) in only.values()


def test_a_threshold_that_leaves_nothing_is_not_blamed_on_the_filters():
    class OnlyBelow(Hits):
        def retrieve(self, request):
            return [] if request.min_score_threshold else self.hits

    answerer = Answerer(OnlyBelow(hit()), Says("x"), analyzer=Bm25Analyzer())
    answer = answerer.ask(SearchRequest("Who made him?", filters=YEAR, min_score_threshold=0.9))
    assert answer.text == REFUSALS["en"]


def test_a_generator_s_failure_is_raised_and_never_made_an_answer():
    class Fails:
        def generate(self, prompt):
            yield "The gods"
            raise ComponentError("ollama", "answering", "broke off")

    stream = make(Fails(), hit()).stream(SearchRequest("Who made Kvasir?"))
    with pytest.raises(ComponentError):
        list(stream)
    with pytest.raises(ClosedError, match="broken off"):
        stream.answer  # noqa: B018


class Endless:
    """A generator that writes without end, and knows whether it was closed."""

    def __init__(self):
        self.is_closed = False
        self.reading = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def generate(self, prompt):
        try:
            while True:
                self.reading.set()
                assert self.may_go_on.wait(30)
                yield "The gods made Kvasir. "
        finally:
            self.is_closed = True


def until_text(stream):
    return next(event for event in stream if isinstance(event, Text))


def test_closing_a_stream_in_the_middle_stops_the_generator():
    for limit in (None, 30.0):
        endless = Endless()
        with (
            deadline(limit),
            make(endless, hit()).stream(SearchRequest("Who made Kvasir?")) as stream,
        ):
            assert until_text(stream).text
            assert not endless.is_closed
        assert endless.is_closed
        assert list(stream) == []
        stream.close()
        with pytest.raises(ClosedError, match="broken off"):
            stream.answer  # noqa: B018


def test_a_stream_that_is_not_read_does_nothing_when_it_is_closed():
    answerer = make(Says("x"), hit())
    answerer.stream(SearchRequest("Who made Kvasir?")).close()
    assert answerer.retriever.asked == []


def test_an_abandoned_stream_stops_the_generator_without_a_warning():
    endless = Endless()
    stream = make(endless, hit()).stream(SearchRequest("Who made Kvasir?"))
    assert until_text(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del stream
        gc.collect()
    assert endless.is_closed


def test_another_thread_may_close_a_stream_that_waits_for_its_generator():
    endless = Endless()
    stream = make(endless, hit()).stream(SearchRequest("Who made Kvasir?"))
    assert until_text(stream)
    endless.reading.clear()
    endless.may_go_on.clear()
    read = []
    reader = threading.Thread(target=lambda: read.extend(stream))
    reader.start()
    assert endless.reading.wait(60)
    stream.close()
    endless.may_go_on.set()
    reader.join(60)
    assert not reader.is_alive()
    assert len(read) <= 1
    assert endless.is_closed


@pytest.mark.parametrize("languages", [["en"], lambda: {"en"}])
def test_an_answer_notes_that_nobody_here_knows_the_language(languages):
    english = FakeEmbedder()
    english.languages = {"en"}
    answerer = make(Says("x"), embedder=english, languages=languages)
    (note,) = answerer.ask(SearchRequest("¿Quién hizo a Kvasir y por qué?")).notes
    assert "in 'es', and the documents, which are in en, cannot be compared with it" in note
    assert answerer.ask(SearchRequest("Who made Kvasir?")).notes == ()
    assert make(Says("x"), embedder=english).ask(SearchRequest("¿Quién lo hizo?")).notes == ()


@pytest.mark.parametrize(
    ("question", "languages", "foreign"),
    [
        ("¿Quién hizo a Kvasir y por qué?", {"en", "es"}, "en"),
        ("Wer hat Kvasir gemacht und warum?", {"de", "en", "es"}, "en, es"),
        ("Who made Kvasir, and why was he made?", {"en", "zh"}, "zh"),
        ("谁创造了克瓦希尔？", {"en", "zh"}, "en"),
    ],
)
def test_in_a_mixed_collection_the_note_names_the_documents_that_cannot_be_compared(
    question, languages, foreign
):
    english = FakeEmbedder()
    english.languages = {"en"}
    answerer = make(Says("x"), embedder=english, languages=languages)
    (note,) = answerer.ask(SearchRequest(question)).notes
    assert f"documents in {foreign} cannot be compared with it" in note


def test_an_english_question_about_documents_in_another_language_is_noted_too():
    english = FakeEmbedder()
    english.languages = {"en"}
    answerer = make(Says("x"), embedder=english, languages=["de"])
    (note,) = answerer.ask(SearchRequest("Who was it that made Kvasir, and why?")).notes
    assert "the documents, which are in de, cannot be compared with it" in note


def test_what_does_not_fit_the_window_is_noted():
    long = hit("Kvasir was made. " * 800, 1)
    answer = make(Says("The gods made Kvasir [1].", window=2048), long, hit()).ask(
        SearchRequest("Who made Kvasir?")
    )
    assert answer.notes == ("1 of 2 passages fit into the model's window",)


def test_an_answer_of_an_approximate_generator_says_so():
    generator = Says("The gods made Kvasir [1].")
    for approximation, notes in (("", ()), ("it is approximate", ("it is approximate",))):
        generator.approximation = approximation
        assert make(generator, hit()).ask(SearchRequest("Who made Kvasir?")).notes == notes


def streamed(*pieces, **options):
    """Return the texts of the events, and the answer."""
    stream = make(Says(*pieces), hit(), **options).stream(SearchRequest("Who made Kvasir?"))
    texts = [event.text for event in stream if isinstance(event, Text)]
    return "".join(texts), stream.answer


MADE = "Kvasir was made by the gods [1]."


@pytest.mark.parametrize("reason", [CutReason.LENGTH, CutReason.CONTENT_FILTER])
def test_an_answer_that_was_cut_says_so_and_is_not_sure(reason):
    text, answer = streamed(MADE, " Two dwarfs", Incomplete(reason))
    assert text == answer.text
    assert (answer.certainty, answer.doubt) == (Certainty.NOT_SURE, IS_CUT)
    assert answer.incomplete == reason
    assert INCOMPLETE[reason] in answer.notes
    whole = streamed(MADE)[1]
    assert (whole.certainty, whole.incomplete, whole.notes) == (Certainty.SURE, "", ())


def test_a_model_that_refuses_has_not_answered():
    text, answer = streamed(Incomplete(CutReason.REFUSAL, "I cannot help with that."))
    assert text == answer.text == "I cannot help with that."
    assert answer.refused
    assert answer.notes == (INCOMPLETE[CutReason.REFUSAL],)


def test_thoughts_are_neither_shown_nor_cited_nor_checked():
    text, answer = streamed("<thi", "nk>The user means [1] 42.</thi", "nk>\n\n", MADE)
    assert text == answer.text == MADE
    assert len(answer.citations) == 1
    assert (answer.checked_sentences, answer.unsupported_sentences) == (1, 0)


def test_thoughts_that_the_template_opened_are_no_part_of_the_answer():
    _, answer = streamed("The user means [1] 42. [7]", "</think>\n\n", MADE)
    assert answer.text == MADE
    assert len(answer.citations) == 1
    assert answer.removed_citations == 0


@pytest.mark.parametrize("end", [[Incomplete(CutReason.LENGTH)], []])
def test_an_answer_that_ends_within_its_thoughts_is_none(end):
    text, answer = streamed("<think>The gods made him. [1] ", *end)
    assert text == answer.text == REFUSALS["en"]
    assert not answer.citations
    assert answer.refused or not end
