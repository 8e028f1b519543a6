"""Words are compared in one spelling, whatever Unicode form, width, digits or marks they have."""

import unicodedata

import pytest

from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.matches import MatchFinder
from kvasir.language.capitals import names_in_capitals
from kvasir.language.normalization import normalize, with_umlauts


@pytest.fixture(scope="module")
def analyzer():
    return Bm25Analyzer()


def shared(analyzer, written, asked, language):
    """Return the terms of a question, and those of them that a document has."""
    (document,) = analyzer.document_terms([written], [language])
    (question,) = analyzer.query_terms([asked], [language])
    terms = set(question.indices.tolist())
    return terms, terms & set(document.indices.tolist())


SPELLINGS = [
    # Composed and decomposed.
    *(
        (language, unicodedata.normalize("NFD", word), word)
        for language, word in (
            ("ko", "도서관은"), ("sv", "räkmackan"), ("vi", "thủ đô"), ("de", "Gebühr"),
            ("ja", "ガイド"), ("ru", "который"), ("und", "čeština"), ("es", "niña"),
        )
    ),
    # Widths, fonts, ligatures, sub- and superscripts.
    ("ja", "ﾌﾟﾘﾝﾀｰ", "プリンター"), ("sv", "ﬁl", "fil"), ("und", "ＡＸ-２００", "ax-200"),
    ("hu", "ﬃ", "ffi"), ("en", "H₂O", "h2o"), ("und", "Ⅳ", "iv"), ("en", "5 µm", "5 μm"),
    ("und", "m²", "m2"), ("und", "½", "1/2"), ("und", "㎏", "kg"),
    # Letters and digits with two spellings.
    ("fa", "کتابخانه", "كتابخانه"), ("fa", "جریمه", "جريمه"),
    ("fa", "۱۲", "12"), ("hi", "१२", "12"), ("bn", "১২", "12"), ("ar", "١٢", "12"),
    ("ru", "Ёлка", "елка"), ("uk", "за́мок", "замок"), ("he", "שָׁלוֹם", "שלום"),
    ("ar", "مستشفى", "مستشفي"), ("und", "كتـــاب", "كتاب"), ("el", "ὕδωρ", "υδωρ"),
    # Case of the Turkish i.
    ("tr", "İSTANBUL", "istanbul"), ("tr", "IŞIK", "ışık"), ("tr", "DİYARBAKIR", "diyarbakır"),
    ("tr", "IBAN", "iban"),
    ("und", "İzmir", "izmir"), ("tr", "i̇zmir", "izmir"),
    # Invisible characters.
    ("en", "re\u00adsi\u00addence", "residence"), ("en", "re\u00ad\n  sidence", "residence"),
    ("en", "resi\u200bdence", "residence"), ("und", "wo\u2060rd\ufeff", "word"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "written", "asked"), SPELLINGS)
def test_two_spellings_of_a_word_are_one_term_both_ways(analyzer, language, written, asked):
    for one, other in ((written, asked), (asked, written)):
        terms, found = shared(analyzer, one, other, language)
        assert terms
        assert found == terms


@pytest.mark.parametrize(
    ("language", "written", "asked"),
    [
        ("fa", "می‌شود", "میشود"),
        ("fa", "کتاب‌ها", "کتاب"),
        ("tr", "İstanbul", "ISTANBUL"),
        ("tr", "Isparta", "ısparta"),
        ("az", "BAKI", "bakı"),
        ("und", "Haus¹", "haus"),
        ("und", "10²", "10"),
    ],
)
def test_a_word_of_several_terms_is_found_by_each(analyzer, language, written, asked):
    terms, found = shared(analyzer, written, asked, language)
    assert terms
    assert found == terms


def test_a_german_question_typed_without_umlauts_has_the_terms_of_one_with_them(analyzer):
    asked = ["Wie hoch ist die Gebuehr fuer Mueller?", "Wie hoch ist die Gebühr für Müller?"]
    one, other = analyzer.query_terms(asked, ["de", "de"])
    assert one.indices.tolist() == other.indices.tolist()


@pytest.mark.parametrize(
    "word",
    ["aktuelle", "manuelle", "individuell", "Michael", "Samuel", "Israel", "zuerst", "zueinander",
     "Statue", "Poet", "Oboe", "Koeffizient", "Aerosol", "Duell"],
)  # fmt: skip
def test_a_word_with_two_vowels_stays_in_a_question_typed_without_umlauts(analyzer, word):
    asked = [f"Gebuehr fuer {word} Mueller", f"Gebühr für {word} Müller"]
    one, other = analyzer.query_terms(asked, ["de", "de"])
    assert one.indices.tolist() == other.indices.tolist()


@pytest.mark.parametrize(
    ("typed", "word"),
    [("Haeuser", "Häuser"), ("Zuerich", "Zürich"), ("Huelle", "Hülle"), ("Knueller", "Knüller"),
     ("Menue", "Menü"), ("Kanaele", "Kanäle"), ("Heizoel", "Heizöl"), ("Gruen", "Grün"),
     ("Guertel", "Gürtel"), ("Ausfuellen", "Ausfüllen")],
)  # fmt: skip
def test_a_word_with_an_umlaut_has_it_in_a_question_typed_without(typed, word):
    assert with_umlauts(typed) == word


def test_both_spellings_of_persian_words_and_capitals_of_turkish_are_searched(analyzer):
    for language, written, asked in (("fa", "میشود", "می‌شود"), ("tr", "ısparta", "ISPARTA")):
        (document,) = analyzer.document_terms([written], [language])
        (question,) = analyzer.search_terms([asked], [language])
        assert set(document.indices.tolist()) & set(question.indices.tolist())


def test_a_german_name_typed_with_ae_oe_ue_is_searched_with_umlauts_too(analyzer):
    for written in ("Müller", "Mueller"):
        (document,) = analyzer.document_terms([written], ["de"])
        (question,) = analyzer.search_terms(["Mueller"], ["de"])
        assert set(document.indices.tolist()) <= set(question.indices.tolist())
    terms, found = shared(analyzer, "Die Steuer auf Goethe, aktuell", "Steuer Goethe aktuell", "de")
    assert found == terms


def test_a_german_document_typed_without_umlauts_is_found_with_them(analyzer):
    text = "Die Gebuehr fuer Mueller betraegt 5 Euro."
    terms, found = shared(analyzer, text, "Gebühr Müller", "de")
    assert found == terms


def test_terms_of_text_that_is_normal_are_those_of_before(analyzer):
    # Ids that indexes hold: a change leaves them without their words.
    known = {
        ("und", "Haus"): 18554856,
        ("de", "Straße"): 1962405504,
        ("sv", "ÖVERALLT"): 1119886531,
        ("ar", "كتاب"): 1808354261,
        ("ru", "который"): 949709441,
    }
    for (language, word), term in known.items():
        (found,) = analyzer.document_terms([word], [language])
        assert found.indices.tolist() == [term], word


@pytest.mark.parametrize(
    ("language", "word", "term"),
    [("ru", "пошёл", 1581449524), ("ar", "کتاب", 2064941724), ("ar", "القرآن", 1069771519)],
)
def test_a_search_also_has_the_terms_of_indexes_made_before(analyzer, language, word, term):
    (found,) = analyzer.search_terms([word], [language])
    assert term in found.indices.tolist()


def test_words_are_marked_where_they_stand_in_a_decomposed_text(analyzer):
    text = unicodedata.normalize("NFD", "Alla tycker om räkmackan här.")
    [(start, end)] = MatchFinder(analyzer, "räkmackan").spans(text, "sv")
    assert unicodedata.normalize("NFC", text[start:end]) == "räkmackan"
    text = "Her re\u00adsi\u00addence."
    [(start, end)] = MatchFinder(analyzer, "residence").spans(text, "en")
    assert text[start:end] == "re\u00adsi\u00addence"
    text = unicodedata.normalize("NFD", "このガイドは")
    [(start, end)] = MatchFinder(analyzer, "ガイド").spans(text, "ja")
    assert unicodedata.normalize("NFC", text[start:end]) == "ガイド"
    text = "このﾌﾟﾘﾝﾀｰは"
    [(start, end)] = MatchFinder(analyzer, "プリンター").spans(text, "ja")
    assert text[start:end] == "ﾌﾟﾘﾝﾀｰ"


def test_thai_keeps_its_breaks_and_its_vowels():
    assert normalize("น้ำ\u200bดี") == "น้ำ\u200bดี"


def test_ascii_text_is_the_same_object():
    text = "plain text"
    assert normalize(text) is text


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("IT is on the third floor.", "Where is IT?"),
        ("The WHO met in Geneva.", "What does the WHO do?"),
    ],
)
def test_a_function_word_in_capitals_is_a_name(analyzer, written, asked):
    (plain,) = analyzer.query_terms([asked.lower()], ["en"])
    terms, found = shared(analyzer, written, asked, "en")
    names = terms - set(plain.indices.tolist())
    assert names
    assert names <= found
    lower, _ = analyzer.document_terms([written.lower(), ""], ["en", "en"])
    assert not names & set(lower.indices.tolist())


@pytest.mark.parametrize(
    "text",
    [
        "WHERE IS IT?",
        "What is NOT included?",
        "Where is it?",
        "WO IST ES?\nwo",
        "AND-gates",
        "IT's",
    ],
)
def test_capitals_of_a_whole_line_and_stressed_words_are_no_names(text):
    assert names_in_capitals(text, lambda word: True) in ([], ["wo"])


def test_a_name_in_capitals_is_one_term_in_every_language(analyzer):
    (question,) = analyzer.query_terms(["Where is IT?"], ["en"])
    (document,) = analyzer.document_terms(["Die IT sitzt oben."], ["de"])
    assert set(question.indices.tolist()) <= set(document.indices.tolist())
