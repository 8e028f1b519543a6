"""A model in PhoBERT's form gives the tokens and vectors that transformers gives it."""

import numpy as np
import pytest
from libraries import library
from small_phobert import sentences, write_phobert

from kvasir.core import registry
from kvasir.core.errors import ModelNotFoundError, SettingsError
from kvasir.models.local import ModelFolder
from kvasir.models.phobert import PhobertTokenizer

torch = library("torch", extra="torch")
transformers = library("transformers", extra="torch")
words = library("kvasir.language.word_segmentation", "underthesea", extra="vietnamese")

TEXTS = [
    "Thư viện của trường đại học mở cửa lúc tám giờ sáng.",
    "Trà xanh được pha với nước nóng 80 độ.",
    "Học sinh",
    "Sinh viên nghiên cứu khoa học công nghệ thông tin tại Việt Nam.\nCâu hỏi và trả lời?",
    "trường đại học " * 60,
]
KINDS = ["openvino", "sentence-transformers"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_phobert(tmp_path_factory.mktemp("phobert"))


@pytest.fixture(scope="module")
def embedders(folder):
    given = {"openvino": {"precision": "f32"}, "sentence-transformers": {"device": "cpu"}}
    return {
        kind: registry.build("embedders", kind, {"name": str(folder)} | options)
        for kind, options in given.items()
    }


@pytest.fixture(scope="module")
def reference(folder):
    return transformers.PhobertTokenizer.from_pretrained(str(folder))


def test_ten_thousand_sentences_have_the_tokens_of_transformers(folder, reference):
    texts = [*sentences(9_990), *TEXTS, "", " ", "\n", "<mask> <s> a</s>", "a\nb\n"]
    own = PhobertTokenizer(folder).encode_batch_fast(texts)
    wrong = [
        text
        for text, encoding in zip(texts, own, strict=True)
        if encoding.ids != reference(text)["input_ids"]
    ]
    assert len(texts) == 10_000
    assert wrong == []
    unknown = reference.unk_token_id
    assert sum(unknown in encoding.ids for encoding in own) > 1000, "symbols without an id"


def test_longer_texts_are_cut_as_transformers_cuts_them(folder, reference):
    texts = [" ".join(sentences(8, seed)) for seed in range(50)]
    for text, encoding in zip(
        texts, PhobertTokenizer(folder, 64).encode_batch_fast(texts), strict=True
    ):
        assert encoding.ids == reference(text, truncation=True, max_length=64)["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_roberta_on_segmented_texts(embedders, reference, folder, kind):
    encoder = transformers.RobertaModel.from_pretrained(str(folder)).eval()
    embedder, expected = embedders[kind], []
    with torch.no_grad():
        for text in words.segment(TEXTS):
            inputs = reference(text, truncation=True, max_length=64, return_tensors="pt")
            states = encoder(inputs["input_ids"], inputs["attention_mask"]).last_hidden_state
            mean = states.mean(dim=1)[0]
            expected.append((mean / mean.norm()).numpy())
    vectors = embedder.embed_documents(TEXTS)
    assert vectors.shape == (len(TEXTS), 768) and embedder.dimension == 768
    assert np.abs(vectors - np.stack(expected)).max() < 1e-4
    assert np.abs(embedder.embed_queries(TEXTS[:1])[0] - expected[0]).max() < 1e-4


def test_both_embedders_segment_and_count_alike(embedders):
    first, second = (embedders[kind] for kind in KINDS)
    assert first.fingerprint == second.fingerprint
    assert first.count_tokens(TEXTS) == second.count_tokens(TEXTS)
    assert "đại_học" in words.segment(TEXTS)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_without_segmentation_it_is_another_model(embedders, folder, kind):
    bare = registry.build("embedders", kind, {"name": str(folder), "segmenter": "none"})
    assert bare.fingerprint != embedders[kind].fingerprint
    both = [each.embed_documents(TEXTS[:1])[0] for each in (bare, embedders[kind])]
    assert np.abs(both[0] - both[1]).max() > 1e-3
    with pytest.raises(SettingsError, match="segmenter must be auto, underthesea or none"):
        registry.build("embedders", kind, {"name": str(folder), "segmenter": "pyvi"})


@pytest.mark.parametrize(
    ("file", "text"),
    [("vocab.txt", "alone\n"), ("bpe.codes", "a b\n"), ("vocab.txt", b"\xff\xfe")],
)
def test_a_broken_file_is_named(folder, tmp_path, file, text):
    for name in ("vocab.txt", "bpe.codes"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelNotFoundError, match=file):
        PhobertTokenizer(ModelFolder("m", tmp_path, "path").path)
