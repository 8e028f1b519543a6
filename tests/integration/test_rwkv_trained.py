"""A reranker and an embedder that are trained here rank better than chance and than none."""

import random

import numpy as np
import pytest
from libraries import library
from small_rwkv import one_thread, words_of, write_model, write_vocabulary

from kvasir.core import registry
from kvasir.core.types import Chunk, Hit, chunk_id, document_id

torch = library("torch", extra="torch")
adapters = library("kvasir.rwkv.adapters", "torch", extra="torch")
initial = library("kvasir.rwkv.initial", "torch", extra="torch")
relevance = library("kvasir.rwkv.relevance", "torch", extra="torch")
tokenizer = library("kvasir.rwkv.tokenizer", "torch", extra="torch")
tuning_data = library("kvasir.rwkv.tuning_data", "torch", extra="torch")

pytestmark = pytest.mark.xdist_group("rwkv")

WORDS = [f"{a}{b}" for a in ("mo", "ta", "ri", "su", "ke") for b in ("lan", "dor", "nix", "peq")]


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


def pair(rng, is_relevant):
    """Returns a query of one word and a passage of three, with the word or without."""
    words = rng.sample(WORDS, 4)
    query = rng.choice(words[:3]) if is_relevant else words[3]
    return f" {query}", " " + " ".join(words[:3])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A base that was trained to tell passages with the query's word from others."""
    folder = tmp_path_factory.mktemp("trained")
    rng = random.Random(0)
    sample = [relevance.training_text(*pair(rng, True), True) for _ in range(200)]
    write_vocabulary(folder, [*words_of(sample), " no", *(f" {word}" for word in WORDS)])
    coder = tokenizer.tokenizer_of(folder / "m.pth")
    model = initial.small_rwkv7(coder.size, 2, 64, head_size=32, rank=16)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.0)
    for step in range(600):
        examples = []
        for number in range(32):
            text = relevance.training_text(*pair(rng, number % 2 == 0), number % 2 == 0)
            examples.append(tuning_data.example_of([*coder.encode(text), 0], coder, 200))
        inputs, targets, lengths = tuning_data.tensors_of(examples, torch.device("cpu"))
        hidden = model.read(inputs, None, lengths)[0]
        learnt = targets != tuning_data.IGNORED
        logits = model.head(hidden[learnt])
        loss = torch.nn.functional.cross_entropy(logits, targets[learnt])
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 30)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.02:
            break
    return write_model(model, folder / "m.pth")


def hits_of(passages):
    found = []
    for number, text in enumerate(passages):
        document = document_id(f"/{number}")
        chunk = Chunk(chunk_id(document, text, 0, len(text)), document, text, 0, len(text))
        found.append(Hit(chunk, 0.5, 0.5, None))
    return found


def reciprocal_rank(rng, order):
    """Returns 1 / rank of the only relevant passage of five, as a ranking orders them."""
    query, right = pair(rng, True)
    wrong = []
    while len(wrong) < 4:
        passage = pair(rng, True)[1]
        if query.strip() not in passage.split():
            wrong.append(passage)
    passages = [*wrong, right]
    rng.shuffle(passages)
    return 1 / (1 + order(query, passages).index(passages.index(right)))


def test_the_trained_reranker_beats_a_random_order(trained, tmp_path):
    reranker = registry.build(
        "rerankers", "rwkv", {"name": str(trained), "without_proof": True}, {"data_dir": tmp_path}
    )

    def order(query, passages):
        hits = hits_of(passages)
        ranked = reranker.rerank(query, hits, 5)
        return [hits.index(next(h for h in hits if h.chunk.id == r.chunk.id)) for r in ranked]

    rng = random.Random(99)
    found = np.mean([reciprocal_rank(rng, order) for _ in range(100)])
    assert found > 0.7  # A random order has 0.457.


def test_the_trained_embedder_beats_a_random_order(trained):
    """The base learnt what words are the same; its hidden vectors are near for the same words."""
    embedder = registry.build("embedders", "rwkv", {"name": str(trained)})

    def order(query, passages):
        scores = embedder.embed_documents(passages) @ embedder.embed_queries([query])[0]
        return np.argsort(-scores).tolist()

    rng = random.Random(99)
    found = np.mean([reciprocal_rank(rng, order) for _ in range(100)])
    assert found > 0.55
