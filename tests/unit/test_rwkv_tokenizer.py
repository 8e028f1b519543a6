"""The World tokenizer gives the tokens of the package ``rwkv``, for texts in many scripts."""

import hashlib
import random
from importlib.util import find_spec
from pathlib import Path

import pytest
from libraries import library

tokenizer_module = library("kvasir.rwkv.tokenizer")

VOCABULARY_SHA256 = "8324476023347dec2964625ccb2075c864d250a9c6d9a74f36daba628de8c008"
SCRIPTS = {
    "Latin": (0x41, 0x17F),
    "Greek": (0x391, 0x3C9),
    "Cyrillic": (0x410, 0x44F),
    "Armenian": (0x531, 0x587),
    "Hebrew": (0x5D0, 0x5EA),
    "Arabic": (0x620, 0x64A),
    "Devanagari": (0x905, 0x939),
    "Bengali": (0x985, 0x9B9),
    "Tamil": (0xB85, 0xBB9),
    "Telugu": (0xC05, 0xC39),
    "Thai": (0xE01, 0xE4E),
    "Lao": (0xE81, 0xEC4),
    "Tibetan": (0xF40, 0xF69),
    "Georgian": (0x10D0, 0x10F6),
    "Hangul": (0xAC00, 0xD7A3),
    "Ethiopic": (0x1200, 0x1357),
    "Khmer": (0x1780, 0x17B3),
    "Hiragana": (0x3041, 0x309F),
    "Katakana": (0x30A1, 0x30FF),
    "Han": (0x4E00, 0x9FA5),
    "emoji": (0x1F300, 0x1F64F),
}
WORDS = (
    "User:", "Assistant:", "question", " answer", "the", " of", "\n\n\n", "    ", "\t", "-" * 90,
    "https://example.org/a?b=c", "1234567", "3.14159", "def f(x): return x ** 2", "====",
    "，。！？", "«»", "“quoted”", "……",
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_module.WorldTokenizer()


def texts(count):
    """Yields texts of 1 to 60 pieces, of one script or of several, with words and white space."""
    rng = random.Random(0)
    names = list(SCRIPTS)
    for number in range(count):
        scripts = [names[number % len(names)], rng.choice(names)]
        pieces = []
        for _ in range(rng.randint(1, 60)):
            kind = rng.random()
            if kind < 0.2:
                pieces.append(rng.choice(WORDS))
            elif kind < 0.35:
                pieces.append(rng.choice(" \n\t") * rng.choice((1, 1, 1, 2, 3, 20, 140)))
            else:
                low, high = SCRIPTS[rng.choice(scripts)]
                pieces.append(
                    "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6)))
                )
        yield "".join(pieces)


def test_tokens_are_those_of_the_reference_on_ten_thousand_texts_in_twenty_scripts(tokenizer):
    spec = find_spec("rwkv")
    if spec is None:
        pytest.skip("the package rwkv is not installed (extra dev)")
    reference = library("rwkv.rwkv_tokenizer").TRIE_TOKENIZER(
        str(Path(spec.submodule_search_locations[0]) / "rwkv_vocab_v20230424.txt")
    )
    characters = set()
    for text in texts(10_000):
        tokens = tokenizer.encode(text)
        assert tokens == reference.encode(text), text
        assert tokenizer.decode(tokens) == text
        characters |= set(text)
    for name, (low, high) in SCRIPTS.items():
        assert sum(low <= ord(c) <= high for c in characters) > min(25, (high - low) / 2), name


def test_the_vocabulary_is_the_published_file(tokenizer):
    assert hashlib.sha256(tokenizer.path.read_bytes()).hexdigest() == VOCABULARY_SHA256
    assert tokenizer.size == 65_530
    assert tokenizer.decode([0]) == ""


def test_text_of_a_stream_has_only_whole_characters(tokenizer):
    text = "é🙂𐍈 naïve 图书馆 الـ" * 5
    tokens = [tokenizer.encode("x")[0]] + [
        token for byte in text.encode() for token in [tokenizer._numbers[bytes([byte])]]
    ]
    stream = tokenizer_module.TextStream(tokenizer)
    pieces = [stream.feed(token) for token in tokens]
    assert "\ufffd" not in "".join(pieces)
    assert "".join(pieces) == "x" + text
    assert stream.finish() == ""
    assert stream.feed(tokens[1]) == ""
    assert stream.finish() == "\ufffd"


def test_half_a_surrogate_pair_and_the_empty_text_are_encoded(tokenizer):
    assert tokenizer.encode("") == []
    assert tokenizer.decode(tokenizer.encode("a\ud83d")) == "a?"


def test_a_model_folder_brings_its_own_vocabulary(tmp_path, tokenizer):
    lines = [f"{byte + 1} {bytes([byte])!r} 1" for byte in range(256)]
    lines.append("257 'hello' 5")
    (tmp_path / "rwkv_vocab_own.txt").write_text("\n".join(lines))
    (tmp_path / "model.pth").touch()
    own = tokenizer_module.tokenizer_of(tmp_path / "model.pth")
    assert own.encode("hello") == [257]
    assert own.size == 258
    other = tokenizer_module.tokenizer_of(tokenizer.path.parent / "nowhere.pth")
    assert other.encode("hello") == tokenizer.encode("hello")


@pytest.mark.parametrize("content", ["", "1 'a' 1", "1 'a' 2\n", "x", "1 [1 2] 3"])
def test_a_file_that_is_no_vocabulary_is_refused(content, tmp_path):
    errors = library("kvasir.core.errors")
    path = tmp_path / "rwkv_vocab_x.txt"
    path.write_text(content)
    with pytest.raises(errors.SettingsError, match="no vocabulary of RWKV"):
        tokenizer_module.WorldTokenizer(path)
