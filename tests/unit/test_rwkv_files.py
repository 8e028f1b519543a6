"""Files of RWKV models and states: every layout makes the same model; others are refused."""

import collections
import json
import os
from pathlib import Path

import pytest
from libraries import library
from small_rwkv import random_model, random_tokens, write_model

from kvasir.tuning import export_model

torch = library("torch", extra="torch")
safetensors = library("safetensors.torch", "safetensors")
weights = library("kvasir.rwkv.weights", "torch", extra="torch")
state_files = library("kvasir.rwkv.state_files", "torch", extra="torch")
states = library("kvasir.rwkv.state", "torch", extra="torch")
errors = library("kvasir.core.errors")

TOKENS = random_tokens(30)


@pytest.fixture(params=[6, 7])
def model(request):
    return random_model(request.param, layers=2, width=128)


def load(path, **options):
    return weights.make_model(weights.read_weights(path), path, **options)


def logits(model):
    return model(torch.tensor([TOKENS]))[0]


def test_a_pth_file_round_trips(model, tmp_path):
    path = write_model(model, tmp_path / "m.pth")
    again = load(path)
    assert torch.equal(logits(again), logits(model))
    copy = tmp_path / "copy.pth"
    weights.save_pth(again.state_dict(), copy)
    first, second = weights.read_weights(path), weights.read_weights(copy)
    assert first.tensors.keys() == second.tensors.keys()
    assert all(torch.equal(first.tensors[k], second.tensors[k]) for k in first.tensors)
    assert weights.fingerprint(first.tensors) == weights.fingerprint(second.tensors)


def test_the_layout_of_fla_round_trips(tmp_path):
    model = random_model(7, layers=3)
    folder = tmp_path / "fla"
    weights.save_fla(model.state_dict(), folder)
    written = safetensors.load_file(folder / "model.safetensors")
    assert written["model.layers.1.attn.w_lora.lora.0.weight"].shape == (16, 128)
    assert torch.equal(
        written["model.layers.2.attn.a_lora.lora.2.weight"], model.blocks[2].att.a2.t()
    )
    assert written["model.layers.2.attn.v_lora.lora.2.bias"].shape == (128,)
    assert written["model.layers.0.attn.x_r"].shape == (1, 1, 128)
    assert written["model.layers.0.attn.k_k"].shape == (128,)
    assert written["model.layers.0.attn.r_k"].shape == (2, 64)
    assert {"model.embeddings.weight", "model.norm.bias", "lm_head.weight"} < written.keys()
    assert "model.layers.0.pre_norm.weight" in written
    assert not any(key.startswith("model.layers.0.attn.v_lora") for key in written)
    found = weights.read_weights(folder)
    assert found.layout == weights.FLA
    assert torch.equal(logits(load(folder)), logits(model))
    expected = model.state_dict()
    assert found.tensors.keys() == expected.keys()
    assert all(torch.equal(found.tensors[key], expected[key]) for key in expected)
    assert weights.fingerprint(found.tensors) == weights.fingerprint(expected)
    config = json.loads((folder / "config.json").read_text())
    assert (config["hidden_size"], config["num_hidden_layers"]) == (128, 3)


def fla_rwkv6_hidden(t, layers, heads):
    """Computes RWKV-6 from fla's tensors by its formulae, with the eps of the reference."""
    norm, linear = torch.nn.functional.layer_norm, torch.nn.functional.linear
    width = t["model.embeddings.weight"].shape[1]

    def normed(x, name):
        return norm(x, (width,), t[f"{name}.weight"], t[f"{name}.bias"])

    def before(x):
        return torch.cat([torch.zeros(1, width), x[:-1]])

    x = t["model.embeddings.weight"][torch.tensor(TOKENS)]
    x = normed(x, "model.layers.0.pre_norm")
    for layer in range(layers):
        at = f"model.layers.{layer}"
        h = normed(x, f"{at}.attn_norm")
        delta = before(h) - h
        low = linear(
            h + delta * t[f"{at}.attn.x_proj.0.mu"], t[f"{at}.attn.x_proj.0.linear.weight"]
        )
        low = torch.tanh(low).view(len(TOKENS), 5, -1)
        second = t[f"{at}.attn.x_proj.2.weight"].view(width, 5, -1)
        mixed = torch.einsum("tnr,hnr->tnh", low, second) + t[f"{at}.attn.x_bias"]
        r, w, k, v, g = (h + delta * each for each in mixed.unbind(1))
        decay = f"{at}.attn.w_proj.linear.lora"
        w = linear(torch.tanh(linear(w, t[f"{decay}.0.weight"])), t[f"{decay}.2.weight"])
        w = torch.exp(-torch.exp(w + t[f"{decay}.2.bias"]))
        r, k, v, g = (
            linear(x, t[f"{at}.attn.{name}_proj.linear.weight"])
            for name, x in (("r", r), ("k", k), ("v", v), ("g", g))
        )
        r, w, k, v = (x.view(len(TOKENS), heads, -1) for x in (r, w, k, v))
        state, found = torch.zeros(heads, r.shape[2], v.shape[2]), []
        for i in range(len(TOKENS)):
            kv = k[i].unsqueeze(2) * v[i].unsqueeze(1)
            now = state + t[f"{at}.attn.bonus"].unsqueeze(2) * kv
            found.append((r[i].unsqueeze(1) @ now).reshape(-1))
            state = w[i].unsqueeze(2) * state + kv
        y = torch.nn.functional.group_norm(
            torch.stack(found), heads, t[f"{at}.attn.g_norm.weight"], t[f"{at}.attn.g_norm.bias"],
            64e-5,
        )  # fmt: skip
        x = x + linear(y * torch.nn.functional.silu(g), t[f"{at}.attn.o_proj.weight"])
        h = normed(x, f"{at}.ffn_norm")
        delta = before(h) - h
        k, r = (
            linear(h + delta * t[f"{at}.ffn.{name}.mu"], t[f"{at}.ffn.{name}.linear.weight"])
            for name in ("key", "receptance")
        )
        fed = linear(torch.relu(k) ** 2, t[f"{at}.ffn.value.weight"])
        x = x + torch.sigmoid(r) * fed
    return linear(normed(x, "model.norm"), t["lm_head.weight"])


def test_rwkv6_in_the_layout_of_fla_is_what_fla_computes_and_round_trips(tmp_path):
    model = random_model(6, layers=2)
    weights.save_fla(model.state_dict(), tmp_path / "fla")
    written = safetensors.load_file(tmp_path / "fla" / "model.safetensors")
    expected = fla_rwkv6_hidden(written, 2, 2)
    torch.testing.assert_close(logits(model)[0], expected, atol=2e-4, rtol=0)
    found = weights.read_weights(tmp_path / "fla")
    own = model.state_dict()
    assert found.layout == weights.FLA
    assert found.tensors.keys() == own.keys()
    assert all(torch.equal(found.tensors[key], own[key]) for key in own)
    assert torch.equal(logits(load(tmp_path / "fla")), logits(model))
    assert weights.fingerprint(found.tensors) == weights.fingerprint(own)
    config = json.loads((tmp_path / "fla" / "config.json").read_text())
    assert (config["model_type"], config["proj_low_rank_dim"]) == ("rwkv6", 16)
    odd = written | {"model.layers.0.attn.odd": torch.zeros(1)}
    safetensors.save_file(odd, tmp_path / "fla" / "model.safetensors")
    with pytest.raises(errors.SettingsError, match=r"not known: model\.layers\.0\.attn\.odd"):
        load(tmp_path / "fla")


def test_a_model_is_exported_whole_or_not_at_all(model, tmp_path):
    tensors = model.state_dict()
    tuned = state_files.time_state(model(torch.tensor([TOKENS]))[1])
    base = {f"rwkv.{key}": value for key, value in tensors.items() if key != "head.weight"}
    files = {
        "a tuned state": tensors | tuned,
        "heads for embedding": base | {"head.retr_head.fc1.weight": torch.ones(2, 2)},
    }
    for number, (part, content) in enumerate(files.items()):
        source, folder = tmp_path / f"m{number}.pth", tmp_path / f"fla{number}"
        weights.save_pth(content, source)
        with pytest.raises(errors.SettingsError, match=f"has {part}.* as a .pth file") as raised:
            export_model(str(source), folder, data_dir=tmp_path)
        assert "\n" not in str(raised.value)
        assert not folder.exists()
        written = export_model(str(source), tmp_path / f"again{number}.pth", data_dir=tmp_path)
        again = weights.read_tensors(written)
        assert again.keys() == content.keys()
        assert all(torch.equal(again[key], content[key]) for key in content)
    plain = write_model(model, tmp_path / "plain.pth")
    assert weights.read_weights(export_model(str(plain), tmp_path / "fla", data_dir=tmp_path))


def test_an_export_that_is_refused_makes_nothing(model, tmp_path):
    plain = write_model(model, tmp_path / "plain.pth")
    new = tmp_path / "new" / "folder" / "out.pth"
    for base, adapter in (("missing.pth", None), (str(plain), "missing")):
        with pytest.raises(errors.KvasirError, match="missing"):
            export_model(base, new, data_dir=tmp_path, adapter=adapter)
    for target in (Path(), plain):
        with pytest.raises(errors.SettingsError, match="is there already"):
            export_model(str(plain), target, data_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["plain.pth"]


def test_a_model_in_several_safetensors_files_is_read_whole(model, tmp_path):
    tensors = {key: value.clone() for key, value in model.state_dict().items()}
    keys = sorted(tensors)
    for number, part in enumerate((keys[::2], keys[1::2])):
        safetensors.save_file(
            {k: tensors[k] for k in part}, tmp_path / f"model-{number}.safetensors"
        )
    assert torch.equal(logits(load(tmp_path)), logits(model))


def test_the_unused_tensors_of_the_first_layer_are_accepted(tmp_path):
    model = random_model(7, layers=2)
    tensors = model.state_dict() | {"blocks.0.att.v1": torch.randn(128, 8)}
    weights.save_pth(tensors, tmp_path / "m.pth")
    assert torch.equal(logits(load(tmp_path / "m.pth")), logits(model))


def test_shapes_with_and_without_lengths_of_one_are_the_same(tmp_path):
    model = random_model(7, layers=2)
    tensors = {
        key: value.squeeze() if value.ndim == 3 else value
        for key, value in model.state_dict().items()
    }
    weights.save_pth(tensors, tmp_path / "m.pth")
    assert torch.equal(logits(load(tmp_path / "m.pth")), logits(model))


def test_a_file_in_bfloat16_is_computed_in_the_wanted_precision(model, tmp_path):
    half = {key: value.to(torch.bfloat16) for key, value in model.state_dict().items()}
    weights.save_pth(half, tmp_path / "m.pth")
    assert load(tmp_path / "m.pth").emb.weight.dtype == torch.float32
    found = load(tmp_path / "m.pth", dtype=torch.bfloat16)
    assert found.emb.weight.dtype == torch.bfloat16
    assert (logits(found).float() - logits(model)).abs().max() < 1.0


def test_missing_unknown_and_misshapen_tensors_are_named(model, tmp_path):
    path = tmp_path / "m.pth"
    key = "blocks.1.att.key.weight"
    tensors = dict(model.state_dict())
    cases = [
        ({k: v for k, v in tensors.items() if k != key}, f"it lacks {key}"),
        (tensors | {"blocks.1.att.odd": torch.zeros(1)}, "not known: blocks.1.att.odd"),
        (tensors | {key: torch.zeros(2, 2)}, rf"{key} is \(2, 2\) instead of \(128, 128\)"),
        ({k: v for k, v in tensors.items() if "blocks.0.ffn" not in k}, "incomplete"),
        ({k: v for k, v in tensors.items() if k != "emb.weight"}, "emb.weight"),
    ]
    for changed, message in cases:
        weights.save_pth(changed, path)
        with pytest.raises(errors.SettingsError, match=message) as raised:
            load(path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("extra", ["blocks.0.ffn.s_emb.weight", "blocks.1.ffn.s0"])
def test_models_with_deep_embed_are_refused_in_one_sentence(extra, tmp_path):
    tensors = random_model(7, layers=2).state_dict() | {extra: torch.zeros(3)}
    weights.save_pth(tensors, tmp_path / "rwkv7a.pth")
    with pytest.raises(errors.SettingsError, match="rwkv7a or rwkv7b model") as raised:
        load(tmp_path / "rwkv7a.pth")
    assert "\n" not in str(raised.value)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "m.pth"
    with pytest.raises(errors.ModelNotFoundError):
        weights.read_weights(path)
    with pytest.raises(errors.ModelNotFoundError, match=r"no \.pth"):
        weights.read_weights(tmp_path)
    torch.save(collections.OrderedDict(a=torch.zeros(2)), path)
    with pytest.raises(errors.SettingsError, match="no RWKV model"):
        weights.read_weights(path)
    torch.save({"blocks.0.att.time_decay": torch.zeros(2)}, path)
    with pytest.raises(errors.SettingsError, match="older RWKV"):
        weights.read_weights(path)
    torch.save([1, 2], path)
    with pytest.raises(errors.SettingsError, match="no tensors by name"):
        weights.read_weights(path)
    path.write_bytes(b"nothing of this kind")
    with pytest.raises((errors.ComponentError, errors.SettingsError)):
        weights.read_weights(path)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm-was-done",)


def test_a_pickled_program_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"emb.weight": Harmful()}, tmp_path / "m.pth")
    with pytest.raises(errors.SettingsError, match="could run programs"):
        weights.read_weights(tmp_path / "m.pth")
    assert not (tmp_path / "harm-was-done").exists()


def test_a_cut_off_file_is_damaged(model, tmp_path):
    path = write_model(model, tmp_path / "m.pth")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(errors.ComponentError, match="is damaged"):
        weights.read_weights(path)


def test_other_weights_have_another_fingerprint(model):
    tensors = dict(model.state_dict())
    before = weights.fingerprint(tensors)
    tensors["blocks.1.ffn.value.weight"] = tensors["blocks.1.ffn.value.weight"] * 1.01
    assert weights.fingerprint(tensors) != before


def test_a_state_goes_on_where_it_was_saved(model, tmp_path):
    tokens = torch.tensor([TOKENS])
    state = model(tokens[:, :17])[1]
    state_files.save_state(state, tmp_path / "s.safetensors", "one")
    again = state_files.load_state(tmp_path / "s.safetensors", "one")
    assert torch.equal(again.wkv, state.wkv)
    assert torch.equal(again.shift, state.shift)
    expected = model(tokens)[0][:, 17:]
    torch.testing.assert_close(model(tokens[:, 17:], again)[0], expected, atol=1e-4, rtol=0)
    with pytest.raises(errors.SettingsError, match="another model"):
        state_files.load_state(tmp_path / "s.safetensors", "other")


def test_an_asymmetric_tuned_state_is_applied_as_the_reference_applies_it(model, tmp_path):
    """The file has values as rows for both versions; RWKV-6's reference has keys as rows."""
    generator = torch.Generator().manual_seed(3)
    tuned = {
        f"blocks.{layer}.att.time_state": torch.randn(2, 64, 64, generator=generator)
        for layer in range(2)
    }
    state_files.save_time_state(tuned, tmp_path / "s.pth", "base")
    state = state_files.load_time_state(tmp_path / "s.pth", model, "base")
    again = state_files.time_state(state)
    assert all(torch.equal(again[key], tuned[key]) for key in tuned)
    reference = states.to_reference(state, transposed=model.version == 6)
    for layer in range(2):
        matrix = tuned[f"blocks.{layer}.att.time_state"]
        expected = matrix.transpose(1, 2) if model.version == 6 else matrix
        assert torch.equal(reference[3 * layer + 1], expected)
    back = states.from_reference(reference, transposed=model.version == 6)
    assert torch.equal(back.wkv, state.wkv)
    turned = states.State(state.shift, state.wkv.transpose(3, 4))
    tokens = torch.tensor([TOKENS])
    assert (model(tokens, state)[0] - model(tokens, turned)[0]).abs().max() > 0.1


def test_a_tuned_state_of_another_model_is_refused_in_one_sentence(model, tmp_path):
    other = random_model(model.version, layers=3, width=128)
    narrow = random_model(model.version, layers=2, width=64)
    path = tmp_path / "s.pth"
    state_files.save_time_state(state_files.time_state(model.zero_state()), path, "this")
    for stranger in (other, narrow):
        with pytest.raises(errors.SettingsError) as raised:
            state_files.load_time_state(path, stranger)
        assert "\n" not in str(raised.value)
    with pytest.raises(errors.SettingsError, match="belongs to another model"):
        state_files.load_time_state(path, model, "that")
    deep = random_model(model.version, layers=1, width=128)
    with pytest.raises(errors.SettingsError, match="another model"):
        state_files.load_time_state(path, deep)


def test_a_state_tuned_into_the_file_is_found(model, tmp_path):
    tuned = state_files.time_state(model(torch.tensor([TOKENS]))[1])
    weights.save_pth(model.state_dict() | tuned, tmp_path / "m.pth")
    found = weights.read_weights(tmp_path / "m.pth")
    assert found.time_state.keys() == tuned.keys()
    assert torch.equal(logits(load(tmp_path / "m.pth")), logits(model))
