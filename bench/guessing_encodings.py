"""Measures how often the encoding of a text without a declaration is recognised.

    python bench/guessing_encodings.py [--wrong]

The samples are the translations of the programs that are installed (``/usr/share/locale``), each
language in its legacy encodings: prose, one short message, and a log and a CSV file most of which
is ASCII. A sample is right if every letter is.
"""

from __future__ import annotations

import argparse
import gettext
import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from kvasir.components.extractors.encodings import decode

_CATALOGS = Path("/usr/share/locale")
_ENCODINGS = {
    "zh_CN": "gbk gb18030", "zh_TW": "big5", "ja": "shift_jis euc_jp", "ko": "euc_kr",
    "pl": "cp1250 iso8859_2", "cs": "cp1250 iso8859_2", "hu": "cp1250 iso8859_2", "sk": "cp1250",
    "hr": "cp1250", "sl": "cp1250", "ro": "cp1250 iso8859_2",
    "ru": "cp1251 koi8_r iso8859_5 cp866", "uk": "cp1251 koi8_u", "bg": "cp1251", "sr": "cp1251",
    "de": "cp1252", "fr": "cp1252 iso8859_15", "es": "cp1252", "pt_BR": "cp1252", "it": "cp1252",
    "sv": "cp1252", "da": "cp1252", "fi": "cp1252", "nb": "cp1252", "nl": "cp1252",
    "el": "cp1253 iso8859_7", "tr": "cp1254 iso8859_9", "he": "cp1255 iso8859_8",
    "ar": "cp1256 iso8859_6", "lt": "cp1257", "lv": "cp1257", "et": "cp1257", "vi": "cp1258",
    "th": "cp874",
}  # fmt: skip
_EACH = 4
_MARKUP = re.compile(r"%[-\d.$l]*[a-z]|<[^>]*>")


class Sample(NamedTuple):
    """A text and the encoding that it is written in."""

    language: str
    encoding: str
    kind: str
    text: str


def messages(language: str) -> list[str]:
    """Return the translated messages of a language that have letters beyond ASCII."""
    found = []
    for path in sorted((_CATALOGS / language / "LC_MESSAGES").glob("*.mo")):
        # Some old catalogs are not in the encoding that they declare.
        with path.open("rb") as file, suppress(UnicodeDecodeError):
            catalog: dict[object, str] = vars(gettext.GNUTranslations(file))["_catalog"]
            for text in catalog.values():
                plain = " ".join(_MARKUP.sub("", text).split())
                if 15 < len(plain) < 400 and not plain.isascii():
                    found.append(plain)
    return found


def samples(seed: int = 7) -> Iterator[Sample]:
    """Yield the samples; the same programs and seed give the same ones."""
    rng = random.Random(seed)
    for language, encodings in _ENCODINGS.items():
        known = messages(language)
        for encoding in encodings.split():
            texts = [text for text in known if _can_be_written(text, encoding)]
            if len(texts) < 50:
                continue
            for _ in range(_EACH):
                made = {
                    "prose": "\n".join(rng.sample(texts, 20)),
                    "short": rng.choice(texts),
                    "log": _log(rng, texts),
                    "csv": _csv(rng, texts),
                }
                for kind, text in made.items():
                    if _can_be_written(text, encoding):
                        yield Sample(language, encoding, kind, text)


def _can_be_written(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _log(rng: random.Random, texts: list[str]) -> str:
    return "".join(
        f"2024-03-{rng.randint(10, 28)} {rng.randint(10, 23)}:{rng.randint(10, 59)}:07 INFO "
        f"[worker-{rng.randint(1, 9)}] {rng.choice(texts)[:40]} user=u{rng.randint(1000, 9999)} "
        f"id={rng.getrandbits(48):x} took={rng.randint(1, 900)}ms\n"
        for _ in range(20)
    )


def _csv(rng: random.Random, texts: list[str]) -> str:
    words = [word for text in texts for word in text.split() if not word.isascii()]
    rows = (
        f"{number},AX-{rng.randint(100, 999)},u{rng.randint(1, 99)}@example.org,"
        f"{rng.choice(words)[:12].strip(',')},+49 {rng.randint(10**6, 10**7)}\n"
        for number in range(1000, 1025)
    )
    return "id,model,email,place,phone\n" + "".join(rows)


def main() -> None:
    """Print the number of samples by kind that are right, and of close choices."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wrong", action="store_true", help="print the samples that are wrong")
    wants_wrong = parser.parse_args().wrong
    total, right, close = Counter[str](), Counter[str](), Counter[bool]()
    for sample in samples():
        warnings: list[str] = []
        is_right = decode(sample.text.encode(sample.encoding), None, warnings.append) == sample.text
        total[sample.kind] += 1
        right[sample.kind] += is_right
        close[is_right] += bool(warnings)
        if wants_wrong and not is_right:
            print(sample.language, sample.encoding, sample.kind, *warnings)
    for kind, count in total.items():
        print(f"{kind:6} {right[kind]:4} of {count}")
    print(f"all    {right.total():4} of {total.total()}")
    print(f"reported as close: {close[True]} right, {close[False]} wrong")


if __name__ == "__main__":
    main()
