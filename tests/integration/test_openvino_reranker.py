"""The reranker 'openvino' gives sentence-transformers' scores, and names what it cannot run."""

import json
import shutil

import numpy as np
import pytest
from cross_encoders import CLASSES, write_cross_encoder
from libraries import library

import kvasir.core.registry as registry
from kvasir.core.errors import ModelNotFoundError, SettingsError
from kvasir.models.encoder_files import gives_types
from kvasir.testing.rerankers import QUERY, TEXTS

torch = library("torch", extra="torch")
sentence_transformers = library("sentence_transformers", extra="torch")

pytestmark = pytest.mark.xdist_group("torch")

PAIRS = [
    *((QUERY, text) for text in TEXTS),
    ("", "an empty query"),
    (" spaces around ", "  and here "),
    ("a long query " * 20, "short"),
    ("a long query " * 20, "and a long text " * 30),
    ("and a long query " * 30, "a long text " * 20),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_cross_encoder(tmp_path_factory.mktemp("bert"), [QUERY, *TEXTS])


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def openvino(folder, **options):
    return registry.build("rerankers", "openvino", {"name": str(folder), **options})


def expected_scores(folder, **options):
    model = sentence_transformers.CrossEncoder(str(folder), device="cpu", **options)
    return model.predict(PAIRS, activation_fn=torch.nn.Sigmoid())


def scores(reranker, pairs=PAIRS):
    return np.concatenate([reranker.scores(query, [text]) for query, text in pairs])


def change_json(file, change):
    content = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(content | change))


@pytest.mark.parametrize("architecture", CLASSES)
def test_scores_are_those_of_sentence_transformers(tmp_path, architecture):
    folder = write_cross_encoder(tmp_path, [QUERY, *TEXTS], architecture=architecture)
    expected = expected_scores(folder)
    assert expected.std() > 0.002
    np.testing.assert_allclose(scores(openvino(folder)), expected, atol=1e-5)
    in_bf16 = scores(openvino(folder, precision="bf16"))
    np.testing.assert_allclose(in_bf16, expected, atol=0.05)


@pytest.mark.parametrize("tokenizer", ["PreTrainedTokenizerFast", "BertTokenizer"])
def test_types_of_tokens_are_those_that_transformers_gives(copy, tokenizer):
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    del settings["model_input_names"]
    (copy / "tokenizer_config.json").write_text(
        json.dumps(settings | {"tokenizer_class": tokenizer})
    )
    model = sentence_transformers.CrossEncoder(str(copy), device="cpu")
    given = "token_type_ids" in model.tokenizer.model_input_names
    assert given == gives_types(copy) == (tokenizer == "BertTokenizer")


def test_few_tokens_a_batch_change_no_score(folder):
    expected = openvino(folder).scores(QUERY, TEXTS)
    by_ones = openvino(folder, batch_tokens=1, streams=3).scores(QUERY, TEXTS)
    np.testing.assert_allclose(by_ones, expected, atol=1e-5)


@pytest.mark.parametrize("limit", [20, 21])
def test_a_smaller_maximum_cuts_pairs_as_sentence_transformers_does(folder, limit):
    expected = expected_scores(folder, max_length=limit)
    ours = scores(openvino(folder, max_tokens=limit))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert np.abs(ours - scores(openvino(folder))).max() > 0.01


def test_scores_are_from_0_to_1_whatever_activation_the_model_names(copy, folder):
    identity = {"activation_fn": "torch.nn.modules.linear.Identity"}
    change_json(copy / "config.json", {"sentence_transformers": identity})
    np.testing.assert_array_equal(scores(openvino(copy)), scores(openvino(folder)))


def test_a_model_of_lower_case_lowers_texts(copy):
    change_json(copy / "sentence_bert_config.json", {"do_lower_case": True})
    ours = openvino(copy)
    upper = [(query.upper(), text.upper()) for query, text in PAIRS]
    lower = [(query.lower(), text.lower()) for query, text in upper]
    np.testing.assert_allclose(scores(ours, upper), scores(ours, lower), atol=1e-6)


def test_a_model_of_several_scores_is_refused(tmp_path):
    folder = write_cross_encoder(tmp_path, [QUERY, *TEXTS], labels=3)
    with pytest.raises(SettingsError, match=r"gives 3 scores a pair.*bge-reranker"):
        openvino(folder)


def test_an_encoder_without_a_head_is_refused():
    with pytest.raises(SettingsError, match=r"is not a cross-encoder.*bge-reranker"):
        registry.build("rerankers", "openvino", {"name": "all-minilm-l6-v2"})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "modernbert"}, r"architecture 'modernbert' .*'cross-encoder'"),
        ({"hidden_act": "silu"}, r"activation 'silu'; .*'cross-encoder'"),
    ],
)
def test_what_the_engine_cannot_run_is_named_with_the_alternative(copy, change, named):
    change_json(copy / "config.json", change)
    with pytest.raises(SettingsError, match=named):
        openvino(copy)


def test_another_step_after_the_model_is_refused(copy):
    steps = [{"type": "a.Transformer", "path": ""}, {"type": "b.Dense", "path": "1_Dense"}]
    (copy / "modules.json").write_text(json.dumps(steps))
    with pytest.raises(SettingsError, match=r"extra step 'Dense'.*'cross-encoder'"):
        openvino(copy)


def test_missing_and_broken_files_are_named(copy):
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"no tokenizer\.json.*'cross-encoder'"):
        openvino(copy)
    (copy / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelNotFoundError, match=r"broken.*fetch the model again"):
        openvino(copy)
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelNotFoundError, match=r"no safetensors.*'cross-encoder'"):
        openvino(copy)


def test_weights_that_do_not_fit_are_named(copy):
    change_json(copy / "config.json", {"num_hidden_layers": 3})
    with pytest.raises(ModelNotFoundError, match=r"lack 'bert\.encoder\.layer\.2"):
        scores(openvino(copy))


@pytest.mark.parametrize(
    ("options", "named"),
    [({"precision": "f8"}, "precision"), ({"streams": 0}, "streams"), ({"max_tokens": 99}, "64")],
)
def test_unusable_options_are_named(folder, options, named):
    with pytest.raises(SettingsError, match=named):
        openvino(folder, **options)
