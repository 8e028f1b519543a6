"""Pairs a second of both rerankers, and the difference of their scores, in the same run.

    python bench/reranking.py [--questions 20] [--hits 30] [--model NAME ...] [--json]

Each question is rated against passages of about 250 tokens from real corpora, as many as a search
gives to the reranker. The engines take turns by question, because other work on the machine would
otherwise fall on one of them; the ratio of their total times is what counts, the absolute figures
only describe the machine. Without ``--model``, the models are made: one of the size of
ms-marco-MiniLM-L6-v2, which is all-MiniLM-L6-v2 with a head from a seed, and an XLM-RoBERTa of the
size of mmarco-mMiniLMv2-L12-H384, all of it from a seed. Needs the extra ``torch``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers

from embedding import CORPORA, QUERIES, cut
from kvasir.components.rerankers.cross_encoder import CrossEncoderReranker
from kvasir.components.rerankers.openvino import OpenVinoReranker
from kvasir.core.types import Chunk, Hit
from kvasir.models.bert_graph import ov
from kvasir.models.local import find
from tables import reranking_table

BERT = "sentence-transformers/all-MiniLM-L6-v2"


def main() -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--hits", type=int, default=30, help="passages a question")
    parser.add_argument("--model", action="append", default=[], help="a name or a folder")
    parser.add_argument("--corpora", type=Path, default=CORPORA, help="folder of Markdown files")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()  # the made head is reported as missing
    texts = cut(options.corpora, options.questions * options.hits)
    if len(texts) < options.questions * options.hits:
        sys.exit(f"{options.corpora} holds {len(texts)} texts, not {options.hits} a question")
    with tempfile.TemporaryDirectory() as made:
        models = options.model or [
            str(write_bert(Path(made) / "bert")),
            str(write_xlm_roberta(Path(made) / "xlm-roberta", texts)),
        ]
        figures = [measure(model, texts, options.hits) for model in models]
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print(reranking_table(figures))
    return 0


def measure(model: str, texts: list[str], hits: int) -> dict[str, Any]:
    """Return the figures of one model."""
    engines: dict[str, Any] = {
        "cross-encoder": CrossEncoderReranker(model, device="cpu", batch_size=hits),
        "openvino f32": OpenVinoReranker(model, precision="f32"),
    }
    if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        engines["openvino bf16"] = OpenVinoReranker(model, precision="bf16")
    seconds, worst = dict.fromkeys(engines, 0.0), dict.fromkeys(engines, 0.0)
    spread: list[float] = []
    for start in range(-hits, len(texts), hits):  # the first round is not counted
        number = max(start, 0)
        query = QUERIES[number // hits % len(QUERIES)]
        asked = [
            Hit(Chunk(str(row), "d", text, 0, len(text)), 0.0)
            for row, text in enumerate(texts[number : number + hits])
        ]
        scores = {}
        for name, engine in engines.items():
            began = time.perf_counter()
            found = engine.rerank(query, asked, hits)
            if start >= 0:
                seconds[name] += time.perf_counter() - began
            scores[name] = np.array([h.score for h in sorted(found, key=lambda h: h.chunk.id)])
        spread.append(float(scores["cross-encoder"].std()))
        for name, values in scores.items():
            error = float(np.abs(values - scores["cross-encoder"]).max())
            worst[name] = max(worst[name], error)
    return {
        "model": Path(model).name,
        "pairs": len(texts),
        "hits": hits,
        "pairs_per_second": {name: len(texts) / spent for name, spent in seconds.items()},
        "ratio": {name: seconds["cross-encoder"] / spent for name, spent in seconds.items()},
        "largest_difference": worst,
        "spread_of_scores": float(np.mean(spread)),
    }


def write_bert(folder: Path) -> Path:
    """Write all-MiniLM-L6-v2 with a head from a seed, and return its folder."""
    source = str(find(BERT).path)
    torch.manual_seed(3)
    model = transformers.BertForSequenceClassification.from_pretrained(source, num_labels=1)
    return spread_out(model, transformers.AutoTokenizer.from_pretrained(source), folder)


def write_xlm_roberta(folder: Path, texts: list[str]) -> Path:
    """Write an XLM-RoBERTa with weights from a seed, and return its folder."""
    core = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=20_000, special_tokens=special, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    core.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=512,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    torch.manual_seed(3)
    config = transformers.XLMRobertaConfig(
        vocab_size=core.get_vocab_size(),
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=514,
        type_vocab_size=1,
        num_labels=1,
    )
    model = transformers.XLMRobertaForSequenceClassification(config)
    return spread_out(model, tokenizer, folder)


def spread_out(model: Any, tokenizer: Any, folder: Path) -> Path:
    """Write a model whose scores are between the ends, as those of a trained one can be."""
    head = getattr(model.classifier, "out_proj", model.classifier)
    with torch.no_grad():
        head.weight.mul_(10)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
