"""The World tokenizer of RWKV: the longest token at each place of a text's UTF-8 bytes.

The vocabulary is BlinkDL's ``rwkv_vocab_v20230424.txt``, see NOTICE. A model folder may bring
another one in its form: lines of a number, a Python literal and its length in bytes.
Source: https://github.com/BlinkDL/ChatRWKV, rwkv_pip_package/src/rwkv/rwkv_tokenizer.py
"""

from __future__ import annotations

import ast
import codecs
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from kvasir.core.errors import SettingsError
from kvasir.core.text import replace_surrogates

VOCABULARY = Path(__file__).with_name("rwkv_vocab_v20230424.txt")
END_OF_DOCUMENT = 0
"""The token between documents; it stands for no text."""
_MOST_TOKENS = 1 << 20


class WorldTokenizer:
    """Turns text into tokens and back. Safe to use from several threads."""

    def __init__(self, path: Path = VOCABULARY) -> None:
        """Read a vocabulary; use ``tokenizer_of`` to read each only once.

        Raises:
            SettingsError: The file is no vocabulary, or lacks one of the 256 bytes.
        """
        self.path = path
        self._bytes = _read(path)
        self._numbers = {piece: number for number, piece in self._bytes.items()}
        if missing := [byte for byte in range(256) if bytes([byte]) not in self._numbers]:
            raise SettingsError(f"{path} is no vocabulary of RWKV: it lacks the byte {missing[0]}")
        lengths: dict[bytes, set[int]] = defaultdict(set)
        for piece in self._numbers:
            if len(piece) > 1:
                lengths[piece[:2]].add(len(piece))
        self._lengths = {start: tuple(sorted(found)[::-1]) for start, found in lengths.items()}

    @property
    def size(self) -> int:
        """One more than the greatest token."""
        return max(self._bytes) + 1

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        data = replace_surrogates(text).encode("utf-8")
        numbers, lengths = self._numbers, self._lengths
        found, at = [], 0
        while at < len(data):
            # At the end of the text a piece is shorter than asked for, and may be a token, too.
            for length in lengths.get(data[at : at + 2], ()):
                piece = data[at : at + length]
                if piece in numbers:
                    break
            else:
                piece = data[at : at + 1]
            found.append(numbers[piece])
            at += len(piece)
        return found

    def decode_bytes(self, tokens: Iterable[int]) -> bytes:
        """Return the bytes of tokens; unknown ones and the end of a document have none."""
        return b"".join(self._bytes.get(token, b"") for token in tokens)

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens; incomplete characters become U+FFFD."""
        return self.decode_bytes(tokens).decode("utf-8", "replace")


class TextStream:
    """Turns tokens into text as they come: bytes wait until their character is complete."""

    def __init__(self, tokenizer: WorldTokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """Return the text that a token completes."""
        return self._decoder.decode(self._tokenizer.decode_bytes([token]))

    def finish(self) -> str:
        """Return U+FFFD for an incomplete character at the end, else nothing."""
        return self._decoder.decode(b"", True)


@lru_cache(maxsize=4)
def _tokenizer(path: Path, size: int, changed: int) -> WorldTokenizer:
    del size, changed  # They only tell versions of a file apart.
    return WorldTokenizer(path)


def tokenizer_of(model: Path) -> WorldTokenizer:
    """Return the tokenizer of a model: a vocabulary in its folder, else the World vocabulary.

    Raises:
        SettingsError: The folder's vocabulary is unusable, or its tokenizer of another kind.
    """
    folder = model if model.is_dir() else model.parent
    own = sorted(folder.glob("rwkv_vocab*.txt"))
    if not own and model.is_dir() and (folder / "tokenizer.json").is_file():
        raise SettingsError(
            f"{folder} has a tokenizer.json, which belongs to RWKV models of the Pile; models with "
            "the World tokenizer are supported"
        )
    path = own[0] if own else VOCABULARY
    try:
        status = path.stat()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    return _tokenizer(path, status.st_size, status.st_mtime_ns)


def _read(path: Path) -> dict[int, bytes]:
    numbers, literals, sizes = [], [], []
    try:
        for line in path.read_text("utf-8").splitlines():
            number, _, rest = line.partition(" ")
            literal, _, size = rest.rpartition(" ")
            numbers.append(int(number))
            literals.append(literal.strip())
            sizes.append(int(size))
        # One parse of all is several times faster than one each.
        values: Sequence[object] = ast.literal_eval("[" + ",".join(literals) + "]")
        pieces = [value.encode() if isinstance(value, str) else value for value in values]
        if len(pieces) != len(numbers):
            raise ValueError(f"{len(numbers)} lines have {len(pieces)} pieces of text")
        found: dict[int, bytes] = {}
        for token, piece, length in zip(numbers, pieces, sizes, strict=True):
            if not isinstance(piece, bytes) or len(piece) != length or not length:
                raise ValueError(f"the piece of token {token} has not the length {length}")
            if token in found or not END_OF_DOCUMENT < token < _MOST_TOKENS:
                raise ValueError(f"token {token} comes twice, or is not 1 to {_MOST_TOKENS - 1}")
            found[token] = piece
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise SettingsError(f"{path} is no vocabulary of RWKV: {error}") from error
    return found
