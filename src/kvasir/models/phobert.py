"""PhoBERT's tokenizer, which has no ``tokenizer.json``, on the library ``tokenizers``.

A folder has byte-pair codes in the form of fastBPE (``bpe.codes``: two symbols and a count a line,
the best first; the last symbol of a word ends with ``</w>``), and a vocabulary in the form of
fairseq (``vocab.txt``: a token and a count a line; a token inside of a word ends with ``@@``).
Codes may lead to symbols that are not in the vocabulary: those are unknown.

Source: Nguyen and Nguyen 2020, arXiv 2003.00744; the classes ``PhobertTokenizer`` of transformers
are what the tests compare it with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing

from kvasir.core.errors import ModelNotFoundError

CODES, VOCABULARY = "bpe.codes", "vocab.txt"
FIRST, PADDING, LAST, UNKNOWN, MASK = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
_SPECIAL = (FIRST, PADDING, LAST, UNKNOWN)
"""The first ids; ``MASK`` has the one behind the vocabulary."""
_END, _INSIDE = "</w>", "@@"
_SPARE = 1_000_000
"""Ids of symbols that are not in the vocabulary begin here."""
_WORD = r"[^\s\x1c-\x1f]+\n?"
"""A word, with the end of its line. The control characters are space in Python."""


@dataclass(frozen=True, slots=True)
class TokenIds:
    """The tokens of a text."""

    ids: list[int]

    def __len__(self) -> int:
        return len(self.ids)


class PhobertTokenizer:
    """Turns texts into ids, as a ``tokenizers.Tokenizer`` does."""

    def __init__(self, folder: Path, max_tokens: int | None = None) -> None:
        """Read the files of a folder; of longer texts the end is cut off.

        Raises:
            ModelNotFoundError: A file is broken.
        """
        ids = _read_vocabulary(folder / VOCABULARY)
        merges = _read_codes(folder / CODES)
        self._unknown = ids[UNKNOWN]
        self._known = len(ids) + 1  # With that of the mask.
        symbols = {_symbol(token): number for token, number in ids.items()}
        symbols[MASK] = len(ids)
        for first, second in merges:
            for symbol in (first, second, first + second):
                symbols.setdefault(symbol, len(symbols) + _SPARE)
        model = BPE(symbols, merges, unk_token=UNKNOWN, end_of_word_suffix=_END)
        self._tokenizer = Tokenizer(model)
        self._tokenizer.pre_tokenizer = Split(Regex(_WORD), "removed", invert=True)
        self._tokenizer.add_special_tokens([*_SPECIAL, MASK])
        self._tokenizer.post_processor = TemplateProcessing(
            single=f"{FIRST} $A {LAST}", special_tokens=[(FIRST, ids[FIRST]), (LAST, ids[LAST])]
        )
        if max_tokens is not None:
            self._tokenizer.enable_truncation(max_tokens)

    def encode_batch_fast(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the tokens of each text, special ones included."""
        known, unknown = self._known, self._unknown
        return [
            TokenIds([number if number < known else unknown for number in encoding.ids])
            for encoding in self._tokenizer.encode_batch_fast(list(texts))
        ]


def is_phobert(folder: Path) -> bool:
    """Return True if a folder has PhoBERT's tokenizer and no other form of it."""
    has_codes = (folder / CODES).is_file() and (folder / VOCABULARY).is_file()
    return has_codes and not (folder / "tokenizer.json").is_file()


def _symbol(token: str) -> str:
    """Return a token of the vocabulary as the codes write it."""
    if token in _SPECIAL:
        return token
    return token[: -len(_INSIDE)] if token.endswith(_INSIDE) else token + _END


def _read_vocabulary(file: Path) -> dict[str, int]:
    ids = {token: number for number, token in enumerate(_SPECIAL)}
    for number, line in enumerate(_lines(file), 1):
        token, separator, _ = line.strip().rpartition(" ")
        if not separator:
            raise ModelNotFoundError(f"{file}, line {number}, has no token and count")
        ids[token] = len(ids)
    return ids


def _read_codes(file: Path) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(_lines(file), 1):
        parts = line.split()
        if len(parts) != 3:
            raise ModelNotFoundError(f"{file}, line {number}, has no two symbols and a count")
        merges.append((parts[0], parts[1]))
    return merges


def _lines(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8") as stream:
            return [line for line in stream if line.strip()]
    except (OSError, UnicodeError) as error:
        raise ModelNotFoundError(f"{file} is broken ({error}); fetch the model again") from error
