"""Follow-up questions, wishes for more, thanks and greetings, without a language model."""

import time

import pytest

from kvasir.answering.answers import Answerer
from kvasir.answering.chat import Conversation
from kvasir.answering.follow_ups import NOTHING_MORE, REPLIES, FollowUps
from kvasir.answering.retrieval import Retriever
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.core.types import Chunk, Message, SearchRequest
from kvasir.language.conversation import (
    ASSENT,
    FAREWELL,
    GREETING,
    THANKS,
    asks_for_more,
    follow_up_part,
    interrogative,
    polite_message,
    refers_back,
)
from kvasir.testing.fakes import FakeEmbedder, MemoryStore

POLITE = {
    (THANKS, "en"): ["Thanks!", "thank you very much", "OK, thanks a lot", "Great, that helps."],
    (GREETING, "en"): ["Hello", "hi there!", "Good morning, Kvasir"],
    (FAREWELL, "en"): ["bye", "Goodbye!", "ok, see you later"],
    (ASSENT, "en"): ["ok", "Perfect."],
    (THANKS, "es"): ["¡Gracias!", "muchas gracias por la ayuda"],
    (GREETING, "es"): ["Hola", "¡Buenos días!"],
    (THANKS, "fr"): ["Merci beaucoup !", "D'accord, merci"],
    (GREETING, "fr"): ["Bonjour", "Salut !"],
    (THANKS, "de"): ["Danke schön!", "Vielen Dank für die Hilfe"],
    (GREETING, "de"): ["Guten Tag", "Hallo zusammen"],
    (THANKS, "vi"): ["Cảm ơn bạn", "cảm ơn rất nhiều"],
    (GREETING, "vi"): ["Xin chào!"],
    (THANKS, "zh"): ["谢谢你！", "非常感谢"],
    (GREETING, "zh"): ["你好！", "大家好"],
}


@pytest.mark.parametrize(
    ("text", "kind", "language"),
    [(text, *key) for key, texts in POLITE.items() for text in texts],
)
def test_polite_messages_are_recognized_with_their_language(text, kind, language):
    assert polite_message(text) == (kind, language)
    assert REPLIES[language][kind]


@pytest.mark.parametrize(
    "text",
    [
        "Thanks, and how far is the Moon?",
        "Who said hello first?",
        "What is a thank you note?",
        "good bread",
        "Gracias a qué ley?",
        "谢谢你的书在哪里？",
        "",
        "?",
    ],
)
def test_other_messages_are_not_taken_for_polite_ones(text):
    assert polite_message(text) is None


LONG = 10_000
"""Characters of the longest message that the service takes."""


PIECES = (
    *("bye ", "bye bye ", "very much so much ", "chào bạn ", "再见拜拜", "gute nacht ", " ", "¿¡"),
    *("la gare ", "cette ", "-il ", "was das ", "what das ", "呢 ", "what how ", "and but "),
)


@pytest.mark.parametrize("piece", PIECES)
def test_the_time_for_a_long_message_is_linear_in_its_length(piece):
    text = (piece * LONG)[: LONG - 1] + "x"
    started = time.process_time()
    assert polite_message(text) is None
    assert not asks_for_more(text)
    follow_up_part(text)
    assert time.process_time() - started < 1.0


def test_a_pronoun_at_the_end_of_a_german_question_refers_back():
    assert refers_back("Wann habe ich das gekauft?")
    assert refers_back("Was ist das?")
    assert not refers_back("Wann wurde das Haus gebaut?")
    assert not refers_back("Le matin, la gare est-elle ouverte, et l'école est-elle fermée ?")


def test_a_greeting_of_two_languages_is_in_that_of_the_collection():
    assert polite_message("Hi", ["de"]) == (GREETING, "de")
    assert polite_message("Hi", ["en", "de"]) == (GREETING, "en")


@pytest.mark.parametrize(
    "text",
    [
        "Tell me more", "more", "Can you tell me more about it?", "More details, please", "Go on",
        "What else?", "Cuéntame más", "más detalles", "¿Qué más?", "Dites-m'en plus",
        "plus de détails", "Erzähl mir mehr", "Mehr dazu", "noch etwas?", "und weiter?",
        "Nói thêm về điều đó", "Còn gì nữa không?", "告诉我更多", "还有什么吗？", "继续",
    ],
)  # fmt: skip
def test_wishes_for_more_are_recognized(text):
    assert asks_for_more(text)


@pytest.mark.parametrize(
    "text", ["Tell me more about tyres", "How many more euros?", "Who went on?", "mehr Netto", ""]
)
def test_questions_with_a_subject_are_no_wishes_for_more(text):
    assert not asks_for_more(text)


@pytest.mark.parametrize(
    ("question", "own"),
    [
        ("And in July?", "in July"),
        ("and what about a service?", "a service"),
        ("How about Zurich?", "Zurich"),
        ("When did I buy it?", "When did I buy it"),
        ("the windscreen?", "the windscreen"),
        ("Why?", "Why"),
        ("Since when?", "Since when"),
        ("¿Y la revisión?", "la revisión"),
        ("¿Cuándo la compré?", "Cuándo la compré"),
        ("¿en julio?", "en julio"),
        ("Et le jeudi ?", "le jeudi"),
        ("Quand l'ai-je acheté ?", "Quand l'ai-je acheté"),
        ("Combien coûte-t-elle ?", "Combien coûte-t-elle"),
        ("Und im August?", "im August"),
        ("Was ist mit dem Papier?", "dem Papier"),
        ("Wann habe ich es gekauft?", "Wann habe ich es gekauft"),
        ("Còn phòng đôi thì sao?", "phòng đôi"),
        ("Thế còn phòng gia đình?", "phòng gia đình"),
        ("Tôi mua nó khi nào?", "Tôi mua nó khi nào"),
        ("五月呢？", "五月"),
        ("那边刷呢？", "边刷"),
        ("它什么时候买的？", "它什么时候买的"),
    ],
)
def test_follow_up_questions_are_recognized_without_their_connectives(question, own):
    assert follow_up_part(question) == own


@pytest.mark.parametrize(
    "question",
    [
        "How far away is the Moon?",
        "Who wrote Hamlet?",
        "In which year was the house built?",
        "¿Qué es la fotosíntesis?",
        "¿Dónde está la estación?",
        "Quand la bibliothèque est-elle ouverte ?",
        "Welche Heizung ist eingebaut?",
        "Phòng đơn giá bao nhiêu?",
        "滤网多久更换一次？",
        "gas prices 2025",
    ],
)
def test_questions_that_stand_alone_are_no_follow_ups(question):
    assert follow_up_part(question) is None


def test_question_words_are_found_with_what_belongs_to_them():
    assert interrogative("And how many of them?") == "how many"
    assert interrogative("滤网多久更换一次？") == "多久"
    assert interrogative("the windscreen") == ""


TEXTS = {
    "en": [
        "A tyre change for the model Aro costs 90 euros. A service for the model Aro costs 240 "
        "euros.",
        "A tyre change for the model Bix costs 120 euros. A service for the model Bix costs 330 "
        "euros.",
        "My bike is a Brompton M6L. I bought the Brompton in May 2021. The bike stands in the "
        "cellar.",
        "| Month | Electricity |\n|---|---|\n| June | 56 |\n| July | 65 |",
    ],
    "es": [
        "El cambio de ruedas del modelo Aro cuesta 91 euros. La revisión del modelo Aro cuesta 241 "
        "euros.",
        "El cambio de ruedas del modelo Bix cuesta 121 euros. La revisión del modelo Bix cuesta "
        "331 euros.",
    ],
    "fr": [
        "Le mardi, la bibliothèque ouvre à 10 h. Le jeudi, la bibliothèque ouvre à 14 h.",
        "Le mardi, la piscine ouvre à 11 h. Le jeudi, la piscine ouvre à 15 h.",
    ],
    "de": [
        "Der Reifenwechsel kostet beim Modell Aro 92 Euro. Die Inspektion kostet beim Modell Aro "
        "242 Euro.",
        "Der Reifenwechsel kostet beim Modell Bix 122 Euro. Die Inspektion kostet beim Modell Bix "
        "332 Euro.",
    ],
    "vi": [
        "Phòng đơn ở khách sạn Sao giá 500 nghìn. Phòng đôi ở khách sạn Sao giá 800 nghìn.",
        "Phòng đơn ở khách sạn Biển giá 600 nghìn. Phòng đôi ở khách sạn Biển giá 900 nghìn.",
    ],
    "zh": [
        "阿罗的滤网每 2 个月更换。阿罗的边刷每 3 个月更换。",
        "比克的滤网每 5 个月更换。比克的边刷每 7 个月更换。",
    ],
}  # fmt: skip


class Counting:
    """A retriever that notes what is searched for."""

    def __init__(self, inner):
        self.inner = inner
        self.queries = []

    def retrieve(self, request):
        self.queries.append(request.query)
        return self.inner.retrieve(request)


class Talk:
    """A conversation over the texts of one language, with its history."""

    def __init__(self, language):
        embedder, analyzer = FakeEmbedder(256), Bm25Analyzer()
        store = MemoryStore(dimension=embedder.dimension, analyzer=analyzer)
        chunks = [
            Chunk(f"c{n}", f"d{n}", text, 0, len(text), metadata={"language": language})
            for n, text in enumerate(TEXTS[language])
        ]
        store.upsert(chunks, embedder.embed_documents(TEXTS[language]))
        self.retriever = Counting(Retriever(embedder, store, languages=[language]))
        generator = ExtractiveGenerator(embedder, analyzer)
        answerer = Answerer(
            self.retriever, generator, analyzer=analyzer, languages=[language], refuse=False
        )
        self.conversation = Conversation(generator, lambda: answerer)
        self.history = []

    def say(self, message):
        answer = self.conversation.stream(message, self.history, rag=True).answer
        self.history += [Message("user", message), Message("assistant", answer.text)]
        return answer


@pytest.mark.parametrize(
    ("language", "first", "follow_up", "searched", "best"),
    [
        ("en", "How much is a tyre change for the model Bix?", "And what about a service?",
         "How much a service model Bix?", 1),
        ("en", "What is the cost of electricity in June?", "and in July?",
         "What in July electricity?", 3),
        ("en", "Which bike do I own?", "When did I get it?",
         "When did I get it bike Brompton M6L?", 2),
        ("es", "¿Cuánto cuesta el cambio de ruedas del modelo Bix?", "¿Y la revisión?",
         "Cuánto la revisión cuesta modelo Bix?", 1),
        ("fr", "Quand la bibliothèque ouvre-t-elle le mardi ?", "Et le jeudi ?",
         "Quand le jeudi bibliothèque ouvre-t-elle?", 0),
        ("de", "Wie viel kostet der Reifenwechsel beim Modell Bix?", "Und die Inspektion?",
         "Wie viel die Inspektion kostet beim Modell Bix Euro?", 1),
        ("vi", "Phòng đơn ở khách sạn Biển giá bao nhiêu?", "Còn phòng đôi thì sao?",
         "bao nhiêu phòng đôi ở khách sạn Biển giá?", 1),
        ("zh", "比克的滤网多久更换？", "边刷呢？", "多久 边刷 比克 的 更换?", 1),
    ],
)  # fmt: skip
def test_a_follow_up_is_searched_with_the_words_that_it_is_about(
    language, first, follow_up, searched, best
):
    talk = Talk(language)
    talk.say(first)
    answer = talk.say(follow_up)
    assert answer.searched == searched
    assert answer.hits[0].chunk.id == f"c{best}"


def test_the_last_turn_decides_where_the_conversation_named_two():
    talk = Talk("en")
    talk.say("How much is a tyre change for the model Bix?")
    assert "Aro" in talk.say("And for the Aro?").searched
    searched = talk.say("And a service?").searched
    assert "Aro" in searched
    assert "Bix" not in searched


def test_a_new_subject_after_a_follow_up_ends_the_old_one():
    talk = Talk("en")
    talk.say("How much is a tyre change for the model Bix?")
    talk.say("Which bike do I own?")
    assert "Bix" not in talk.say("When did I buy it?").searched


def test_a_question_that_stands_alone_is_searched_as_typed_and_once():
    talk = Talk("en")
    talk.say("How much is a tyre change for the model Bix?")
    talk.retriever.queries.clear()
    assert talk.say("Where does the bike stand?").searched == ""
    assert talk.retriever.queries == ["Where does the bike stand?"]


def test_a_first_question_is_no_follow_up():
    talk = Talk("en")
    assert talk.say("And the bike?").searched == ""


def test_tell_me_more_gives_further_passages_until_there_are_none():
    talk = Talk("en")
    answers = [talk.say("Which bike do I own?").text]
    while not (last := talk.say("tell me more")).refused:
        answers.append(last.text)
        assert len(answers) < 10
    assert last.text == NOTHING_MORE["en"]
    pieces = [piece for answer in answers for piece in answer.replace(" [", "\n[").splitlines()]
    quoted = [piece for piece in pieces if piece and piece[0] != "["]
    assert len(quoted) == len(set(quoted))
    assert len(answers) > 1


def test_more_of_a_passage_stands_at_its_offsets():
    talk = Talk("en")
    talk.say("Which bike do I own?")
    for hit in talk.say("more").hits:
        text = TEXTS["en"][int(hit.chunk.document_id[1:])]
        assert text[hit.chunk.start : hit.chunk.end] == hit.chunk.text


def test_thanks_and_greetings_are_not_searched_and_do_not_end_the_subject():
    talk = Talk("en")
    talk.say("How much is a tyre change for the model Bix?")
    talk.retriever.queries.clear()
    thanked = talk.say("Thanks!")
    assert thanked.text == "You are welcome."
    assert (thanked.hits, thanked.citations, thanked.refused) == ((), (), False)
    assert talk.retriever.queries == []
    assert "Bix" in talk.say("And a service?").searched


class CountingAnalyzer(Bm25Analyzer):
    """An analyzer that counts the texts that it is given."""

    texts = 0

    def query_terms(self, texts, languages):
        self.texts += len(texts)
        return super().query_terms(texts, languages)


@pytest.mark.parametrize("message", ["那边刷呢？", "还有什么吗？"])
def test_a_very_long_turn_costs_no_more_than_its_beginning(message):
    analyzer = CountingAnalyzer()
    long = ("比克的滤网每几个月更换一次" * LONG)[:LONG]
    history = [Message("user", long), Message("assistant", "每 5 个月更换 [1]。")]
    steps = FollowUps(analyzer).search(SearchRequest(message), history, lambda request: [])
    with pytest.raises(StopIteration) as stopped:
        while True:
            next(steps)
    assert "滤网" in stopped.value.value.searched
    assert analyzer.texts < 8_000
