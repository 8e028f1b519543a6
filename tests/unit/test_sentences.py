"""Sentences in many languages, as spans of the text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencex import get_sentence_boundaries

from kvasir.language import sentences
from kvasir.language.sentences import sentence_spans

DATA = Path(__file__).parents[3] / "shared" / "data"

CASES = {
    "en": ["Dr. Smith paid $3.50 in the U.S.A. in 1999.", "Was it approx. 5 percent?", "Yes!"],
    "es": ["El Sr. García llegó a EE. UU. en 1999.", "¿Cómo estás?", "¡Bien!"],
    "de": ["Am 3. Mai war z. B. Dr. Müller da.", "Das ist gut."],
    "vi": ["TP. Hồ Chí Minh là thành phố lớn.", "Ông đến từ TS. Nguyễn.", "Năm 1999."],
    "ar": ["مرحبا بالعالم.", "كيف حالك؟", "أنا بخير!"],
    "hi": ["यह एक वाक्य है।", "क्या यह सही है?", "हाँ।"],
    "ur": ["یہ ایک جملہ ہے۔", "یہ دوسرا ہے۔"],
    "ru": ["Это стоит 3,5 руб. и т. д. за шт.", "Хорошо."],
}


def cut(text: str, language: str | None = None) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text, language)]


@pytest.mark.parametrize("language", CASES)
def test_sentences_end_at_terminators_and_not_at_abbreviations_or_decimals(language: str) -> None:
    assert cut(" ".join(CASES[language]), language) == CASES[language]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("zh", ["你好。", "价格是3.5元！", "真的吗？", "他说：“是的。我知道。”"]),
        ("ja", ["これはテストです。", "本当ですか？", "終わり。"]),
    ],
)
def test_scripts_without_spaces_are_cut_at_their_own_terminators(
    language: str, expected: list[str]
) -> None:
    assert cut("".join(expected), language) == expected
    assert cut("".join(expected), None) == expected


def test_region_and_unknown_languages_are_accepted() -> None:
    for language in ("pt-BR", "zh_Hans", "EN", "xx", "", None):
        assert cut("One. Two.", language) == ["One.", "Two."]


def test_a_wrapped_line_continues_a_sentence_and_a_blank_line_ends_it() -> None:
    assert cut("A line that\nwraps. Next\n\nA title\n\nText") == [
        "A line that\nwraps.",
        "Next",
        "A title",
        "Text",
    ]


def test_windows_newlines_and_form_feeds_end_paragraphs_too() -> None:
    assert cut("First\r\n\r\nSecond\fThird") == ["First", "Second", "Third"]


def test_table_rows_headings_and_list_items_stand_alone() -> None:
    text = "# Title\nBody text.\n| a. | b |\n| 1. | 2 |\n- one\n- two"
    assert cut(text) == ["# Title", "Body text.", "| a. | b |", "| 1. | 2 |", "- one", "- two"]


def test_an_unclosed_quote_does_not_swallow_the_rest() -> None:
    text = 'He said "it goes on. ' + "And this is the next sentence of the speech. " * 30
    assert max(len(sentence) for sentence in cut(text)) < 100


def test_offsets_count_characters_beyond_the_basic_plane() -> None:
    assert cut("😀 Hi there. 😀😀 Bye!") == ["😀 Hi there.", "😀😀 Bye!"]


@pytest.mark.parametrize(
    "unit",
    [
        "`" * 99 + " ",
        '"' * 99 + " ",
        "«",
        "“a. ",
        "你好。",
        "resp. ",
        "` resp. ",
        "(a. b) ",
        "word ",
        "\u3000",
        "a\n",
    ],
)
def test_the_library_sees_a_window_at_a_time_and_each_character_a_few_times(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(language: str, text: str) -> list[dict[str, int]]:
        seen.append(len(text))
        found: list[dict[str, int]] = get_sentence_boundaries(language, text)
        return found

    monkeypatch.setattr(sentences, "get_sentence_boundaries", spy)
    text = (unit * 100_000)[:100_000]
    assert_spans_hold(text, sentence_spans(text, "en"))
    assert max(seen) <= sentences.WINDOW
    # Twice where windows overlap, and again where long sentences lose their quotes.
    assert sum(seen) <= 4 * len(text)


def test_a_megabyte_of_backticks_is_segmented() -> None:
    text = "`" * 1_000_000
    assert_spans_hold(text, sentence_spans(text, "en"))


@pytest.mark.parametrize("language", ["en", "vi", "zh"])
def test_a_long_paragraph_has_the_sentences_of_its_parts(language: str) -> None:
    parts = 1_000 * CASES.get(language, ["你好。", "价格是3.5元！", "真的吗？"])
    text = ("" if language == "zh" else " ").join(parts)
    assert len(text) > 3 * sentences.WINDOW
    assert cut(text, language) == parts


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("de", ["Das Büro liegt im 2. Stock des Hauses.", "Er wohnt dort."]),
        ("de", ["Die Sitzung ist am 3. Mai 2024.", "Montag, 15. Februar, nicht."]),
        ("de", ["Im 1. und 2. Stock ist es voll.", "Er hat 3.", "Sie hat 4."]),
        ("de", ["Es war im 20. Jahrhundert, vgl. S. 5 und Abb. 3.", "Das war 1990.", "Danach."]),
        ("de", ["Der 1. FC Köln und Ludwig der XIV. Das steht dort."]),
        ("da", ["Den 3. maj 2024 holdes mødet.", "Kontoret ligger på 2. sal.", "Så kom f.eks. O."]),
        ("no", ["Møtet er 17. mai.", "Kontoret ligger i 2. etasje.", "Vi har 3.", "Det er nok."]),
        ("nb", ["Møtet er 17. mai.", "Kontoret ligger i 2. etasje."]),
        ("sv", ["Mötet är den 3. maj i år.", "Kontoret ligger t.ex. i huset.", "Sen kom Ole."]),
        ("fi", ["Kokous on 3. toukokuuta.", "Toimisto on 2. kerroksessa.", "Vuonna 1990."]),
        ("is", ["Fundurinn er 3. maí 2024.", "Skrifstofan er á 2. hæð.", "Árið 1990."]),
        ("cs", ["Schůze je 3. května 2024.", "Kancelář je v 2. patře.", "Roku 1990."]),
        ("hu", ["A gyűlés május 3. napján lesz.", "Az iroda a 2. emeleten van.", "Vége."]),
        ("en", ["it is a bug.", "we fix it, e.g. today.", "and so on."]),
        ("en", ["Prof. Smith et al. met Mr. Jones, e.g. at 5 p.m.", "Then see Eq. 4."]),
        ("fr", ["Voir p. ex. l'art. 3.", "M. Dupont est venu.", "Fin."]),
        ("es", ["El Sr. López vive en la pág. 3.", "EE. UU. es grande.", "Fin."]),
        ("it", ["Il sig. Rossi e la dott.ssa Bianchi.", "Fine."]),
        ("pt", ["O Sr. Silva mora no n.º 5.", "Fim.", "Av. Paulista."]),
        ("nl", ["Dhr. Jansen woont bijv. in Utrecht.", "Nr. 5 is d.w.z. klein."]),
        ("pl", ["Np. prof. Kowalski mieszka na ul. Długiej.", "Tj. tutaj."]),
        ("ru", ["В г. Москве живёт проф. Иванов, т.е. учёный.", "Конец.", "Ул. Ленина, д. 5."]),
        ("tr", ["Bkz. s. 5.", "Dr. Yılmaz geldi.", "Örn. bu.", "Son."]),
    ],
)  # fmt: skip
def test_abbreviations_and_ordinals_end_no_sentence(language: str, expected: list[str]) -> None:
    assert cut(" ".join(expected), language) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Name: Ann\nPhone: 5\nWithout a period", ["Name: Ann", "Phone: 5", "Without a period"]),
        ("2024-05-01 started\n2024-05-02 stopped", ["2024-05-01 started", "2024-05-02 stopped"]),
        # Full lines are wrapped, and so are those that go on with a small letter.
        ("A line that\nwraps here", ["A line that\nwraps here"]),
        (f"{'word ' * 12}in the\nNetherlands it is", [f"{'word ' * 12}in the\nNetherlands it is"]),
        ("天气很好我们去\n公园散步", ["天气很好我们去\n公园散步"]),
        ("标题\n天气很好我们去公园散步", ["标题", "天气很好我们去公园散步"]),
    ],
)
def test_a_line_break_ends_a_sentence_unless_the_line_was_full(
    text: str, expected: list[str]
) -> None:
    assert cut(text) == expected


def test_data_without_spaces_stands_alone() -> None:
    blob = "0a1b2c" * 100
    for space in ("\n", " "):
        text = f"The checksum follows.{space}{blob}{space}The disk is kept in a safe."
        assert cut(text) == ["The checksum follows.", blob, "The disk is kept in a safe."]


_WORDS = st.sampled_from(["Haus", "das", "Mai", "3.", "2.", "am", "Dr.", "1990.", "ist.", "Stock"])


@settings(deadline=None, max_examples=100)
@given(st.lists(_WORDS, max_size=30), st.sampled_from(["de", "da", "en", "fr", "cs"]))
def test_sentences_end_at_words_and_never_after_a_title(words: list[str], language: str) -> None:
    text = " ".join(words)
    spans = sentence_spans(text, language)
    assert_spans_hold(text, spans)
    assert [word for start, end in spans for word in text[start:end].split()] == words
    assert not any(text[start:end].endswith(" Dr.") for start, end in spans[:-1])


def test_nothing_gives_no_sentences() -> None:
    assert sentence_spans("") == []
    assert sentence_spans(" \n\t\f ") == []


def assert_spans_hold(text: str, spans: list[tuple[int, int]]) -> None:
    position = 0
    for start, end in spans:
        assert position <= start < end
        assert not text[position:start].strip()
        assert text[start:end] == text[start:end].strip()
        position = end
    assert not text[position:].strip()


@settings(deadline=None, max_examples=300)
@given(
    st.text(
        alphabet=st.one_of(
            st.sampled_from(list(" \n\r\f\t.?!。？！\"'“”«»()[]|#-*1aAbé中ا।😀\u00a0\u2028\x85")),
            st.characters(exclude_categories=["Cs"]),
        ),
        max_size=120,
    ),
    st.sampled_from(["en", "vi", "zh", "ar", None]),
)
def test_spans_are_ordered_trimmed_and_lose_nothing(text: str, language: str | None) -> None:
    assert_spans_hold(text, sentence_spans(text, language))


@pytest.mark.parametrize("language", ["en", "es", "vi", "zh"])
def test_real_paragraphs_have_sentences_of_a_readable_length(language: str) -> None:
    path = DATA / "retrieval" / f"xquad-{language}" / "corpus.jsonl"
    if not path.exists():
        pytest.skip(f"needs {path}")
    lengths = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["text"]
        spans = sentence_spans(text, language)
        assert_spans_hold(text, spans)
        lengths.extend(end - start for start, end in spans)
    # 240 paragraphs of about five sentences each.
    assert 1000 < len(lengths) < 1500


def test_a_footnote_mark_stays_with_the_sentence_before_it() -> None:
    expected = ["The dog barked.[^3]", "The cat slept in 1987[^i] or so.", "It was late."]
    assert cut(" ".join(expected), "en") == expected


@pytest.mark.parametrize("text", ["! ° ", "1. ° ", "Yes! ° ", "One. Two. "])
def test_each_character_is_searched_for_a_letter_once(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = 0

    class Counted:
        def search(self, piece: str, start: int, end: int) -> object:
            nonlocal searched
            searched += end - start
            return letter.search(piece, start, end)

    letter = sentences._LETTER
    monkeypatch.setattr(sentences, "_LETTER", Counted())
    cut(text * 500, "en")
    assert searched <= len(text) * 500
