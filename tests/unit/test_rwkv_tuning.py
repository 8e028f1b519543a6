"""States, LoRA and PiSSA are trained, stopped and resumed; only answers are learnt."""

import json
import random
import time

import pytest
from libraries import library
from small_rwkv import one_thread, random_tokens, write_model, write_vocabulary
from small_tuning import examples, make_model, tune

from kvasir.core.errors import SettingsError, StoppedError
from kvasir.core.run import Run, StopToken
from kvasir.tuning import tune as kvasir_tune

torch = library("torch", extra="torch")
adapter_files = library("kvasir.rwkv.adapter_files", "torch", extra="torch")
adapters = library("kvasir.rwkv.adapters", "torch", extra="torch")
state_files = library("kvasir.rwkv.state_files", "torch", extra="torch")
states = library("kvasir.rwkv.state", "torch", extra="torch")
tokenizer = library("kvasir.rwkv.tokenizer")
tuning = library("kvasir.rwkv.tuning", "peft", extra="torch")
tuning_data = library("kvasir.rwkv.tuning_data", "torch", extra="torch")
weights = library("kvasir.rwkv.weights", "torch", extra="torch")

KINDS = ("state", "lora", "pissa")


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", [6, 7])
def test_tuning_improves_the_held_out_loss(kind, version, tmp_path):
    result = tune(kind, tmp_path, make_model(version), steps=40).run()
    assert result.best < result.before - 0.3
    assert result.steps == 40
    lines = tuning.read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(41))
    held_out = [line["held_out"] for line in lines if "held_out" in line]
    assert len(held_out) == 5
    assert min(held_out) == result.best


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", [6, 7])
def test_the_written_result_gives_the_loss_of_training_on_the_unchanged_base(
    kind, version, tmp_path
):
    run = tune(kind, tmp_path, make_model(version))
    run.run()
    base = make_model(version)
    inputs, targets, lengths = tuning_data.tensors_of(run._held_out, torch.device("cpu"))
    if kind == "state":
        state = state_files.load_time_state(run.result, base, "base").expand(len(inputs))
        logits = base(inputs, state, lengths)[0]
    else:
        adapters.accept_adapters(base)
        with adapters.applied(adapter_files.load_adapter(run.result, base, "base")):
            logits = base(inputs, None, lengths)[0]
    learnt = targets != tuning_data.IGNORED
    loss = torch.nn.functional.cross_entropy(logits[learnt], targets[learnt])
    assert loss.item() == pytest.approx(run._best, abs=2e-4)
    with pytest.raises(SettingsError, match="another model"):
        if kind == "state":
            state_files.load_time_state(run.result, base, "other base")
        else:
            adapter_files.load_adapter(run.result, base, "other base")


@pytest.mark.parametrize("version", [6, 7])
def test_a_trained_state_is_asymmetric_and_belongs_in_the_orientation_of_the_file(
    version, tmp_path
):
    run = tune("state", tmp_path, make_model(version))
    run.run()
    tensors = weights.read_tensors(run.result)
    assert set(tensors) == {f"blocks.{layer}.att.time_state" for layer in range(2)}
    matrix = tensors["blocks.0.att.time_state"]
    assert matrix.shape == (2, 32, 32)
    assert (matrix - matrix.transpose(1, 2)).abs().max() > 0.1 * matrix.abs().max()
    base = make_model(version)
    state = state_files.load_time_state(run.result, base, "base")
    reference = states.to_reference(state, transposed=version == 6)
    back = states.from_reference(reference, transposed=version == 6)
    assert torch.equal(back.wkv, state.wkv)
    expected = matrix.transpose(1, 2) if version == 6 else matrix
    assert torch.equal(reference[1], expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", [6, 7])
def test_gradients_agree_with_finite_differences(kind, version, tmp_path):
    model = make_model(version)
    run = tune(kind, tmp_path, model)
    model.double()
    for parameter in run.trained.values():
        parameter.data = parameter.data.double()
        if kind != "pissa":
            parameter.data += 0.05 * torch.randn_like(parameter)
    batch = examples(3, 20)
    loss, _ = run.loss(batch)
    names = list(run.trained)
    gradients = torch.autograd.grad(loss, list(run.trained.values()))
    generator = torch.Generator().manual_seed(0)
    step = 1e-2
    for name, gradient in list(zip(names, gradients, strict=True))[:: max(1, len(names) // 6)]:
        parameter = run.trained[name]
        # The first shows a gradient that is too large, the second one that lacks a part.
        random_one = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        for direction in (gradient / gradient.norm(), random_one / random_one.norm()):
            found = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter += sign * step * direction
                    found.append(run.loss(batch)[0].item())
                    parameter -= sign * step * direction
            numeric = (found[0] - found[1]) / (2 * step)
            # The recurrence is float32 in every precision.
            expected = pytest.approx(numeric, rel=0.01, abs=5e-5)
            assert (gradient * direction).sum().item() == expected, name


@pytest.mark.parametrize("version", [6, 7])
def test_pissa_starts_as_the_base(version, tmp_path):
    tokens = torch.tensor([random_tokens(40, 257)])
    expected = make_model(version)(tokens)[0]
    model = make_model(version)
    run = tune("pissa", tmp_path, model)
    torch.testing.assert_close(model(tokens)[0], expected, atol=1e-4, rtol=0)
    assert run.adapter().parts["blocks.0.att.key"].delta().abs().max() < 1e-6
    assert len(run.adapter().parts) == len(adapters.linear_modules(make_model(version)))


def test_recomputing_layers_changes_no_gradient(tmp_path):
    found = []
    for recompute in (False, True):
        run = tune("lora", tmp_path / str(recompute), recompute=recompute)
        loss, _ = run.loss(examples(3))
        found.append(torch.autograd.grad(loss, list(run.trained.values())))
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again)


def test_gradients_are_added_over_the_parts_of_a_batch(tmp_path):
    losses = []
    for size in (1, 3, 8):
        run = tune("state", tmp_path / str(size), batch=8, micro_batch=size, steps=5)
        run.run()
        lines = tuning.read_metrics(tmp_path / str(size) / "metrics.jsonl")
        losses.append([line["loss"] for line in lines if "loss" in line])
    assert losses[0] == pytest.approx(losses[2], abs=1e-4)
    assert losses[1] == pytest.approx(losses[2], abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_stopped_anywhere_goes_on_with_the_same_losses(kind, tmp_path):
    tune(kind, tmp_path / "whole").run()
    expected = tuning.read_metrics(tmp_path / "whole" / "metrics.jsonl")
    for moment in (1, 13, 20):
        stop = StopToken()

        def watch(progress, moment=moment, stop=stop):
            if progress.done == moment:
                stop.set()

        with pytest.raises(StoppedError):
            tune(kind, tmp_path / str(moment)).run(Run(stop, watch))
        result = tune(kind, tmp_path / str(moment)).run()
        found = tuning.read_metrics(tmp_path / str(moment) / "metrics.jsonl")
        assert [line["step"] for line in found] == [line["step"] for line in expected]
        for line, wanted in zip(found, expected, strict=True):
            assert line == pytest.approx(wanted, abs=1e-3)
        assert result.steps == 30


@pytest.mark.parametrize("calls", [1, 2, 6, 8, 13])
def test_nothing_is_computed_after_a_stop(calls, tmp_path, monkeypatch):
    """Evaluations have five parts, updates two; a stop is seen before the next part."""
    stop, counted = StopToken(), []
    run = tune("lora", tmp_path, micro_batch=2, evaluate_every=1)
    assert (len(run._held_out), run._options.batch) == (10, 4)
    loss = run.loss

    def counting(part):
        counted.append(len(part))
        if len(counted) == calls:
            stop.set()
        return loss(part)

    monkeypatch.setattr(run, "loss", counting)
    with pytest.raises(StoppedError):
        run.run(Run(stop))
    assert len(counted) == calls


def test_it_ends_early_when_the_held_out_loss_gets_no_better(tmp_path):
    run = tune("state", tmp_path, steps=500, patience=2, learning_rate=3.0, evaluate_every=5)
    result = run.run()
    assert result.ended_early
    assert result.steps < 500
    lines = tuning.read_metrics(tmp_path / "metrics.jsonl")
    held_out = [line["held_out"] for line in lines if "held_out" in line]
    assert min(held_out[-2:]) >= result.best == min(held_out)
    assert (
        tune("state", tmp_path, steps=500, patience=2, learning_rate=3.0, evaluate_every=5).run()
        == result
    )


def test_a_folder_with_another_run_is_refused(tmp_path):
    tune("state", tmp_path, steps=10).run()
    for changes in ({"steps": 11}, {"seed": 1}):
        with pytest.raises(SettingsError, match="choose another folder"):
            tune("state", tmp_path, **({"steps": 10} | changes))


def test_unusable_options_are_refused():
    for changes in ({"kind": "full"}, {"steps": 0}, {"held_out": 1.0}, {"rank": 0}):
        with pytest.raises(SettingsError):
            tuning.TuneOptions(**({"kind": "lora"} | changes))


def learnt_text(text, folder, context=1000):
    coder = tokenizer.WorldTokenizer()
    example = tuning_data.example_of([*coder.encode(text), 0], coder, context)
    if example is None:
        return None
    pairs = zip(example.tokens, example.is_learnt, strict=True)
    return coder.decode([token for token, learnt in pairs if learnt])


def test_only_answers_are_learnt(tmp_path):
    text = "User: What is it?\n\nAssistant: A test.\n\nUser: Why?\n\nAssistant: So.\nIt is."
    assert learnt_text(text, tmp_path).replace("\n\n", "") == " A test. So.\nIt is."
    assert learnt_text("Assistant: first", tmp_path) == " first"
    plain = "A document without turns."
    assert plain.endswith(learnt_text(plain, tmp_path))
    assert learnt_text("", tmp_path) is None


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
def test_turns_of_users_and_of_the_system_are_not_learnt(end, tmp_path):
    turns = ("User: a?", "Assistant: b", "System: c", "User: d?", "Assistant: e\nf")
    assert learnt_text(end.join(turns), tmp_path).split() == ["b", "e", "f"]


def test_a_prompt_that_is_too_long_loses_its_beginning_and_the_answer_stays(tmp_path):
    coder = tokenizer.WorldTokenizer()
    text = f"System: s\n\n{'a passage of some words ' * 300}\n\nUser: q\n\nAssistant: two minutes"
    tokens = [*coder.encode(text), 0]
    example = tuning_data.example_of(tokens, coder, 64)
    assert example.tokens == tuple(tokens[-65:])
    pairs = zip(example.tokens, example.is_learnt, strict=True)
    assert coder.decode([token for token, learnt in pairs if learnt]) == " two minutes"
    # Of several answers the first is kept whole, with what follows if there is room.
    more = [*coder.encode(f"{text}\n\nUser: {'r ' * 200}\n\nAssistant: three"), 0]
    assert " two minutes" in coder.decode(tuning_data.example_of(more, coder, 64).tokens)


def test_the_end_of_a_document_is_learnt_and_a_cut_one_has_none():
    coder = tokenizer.WorldTokenizer()
    tokens = [*coder.encode("a b c d e f g h"), 0]
    whole = tuning_data.example_of(tokens, coder, 100)
    assert whole.tokens[-1] == 0
    assert whole.is_learnt[-1]
    cut = tuning_data.example_of(tokens, coder, len(tokens) - 3)
    assert cut.tokens == tuple(tokens[:-2])


@pytest.mark.parametrize("context", [64, 1_000_000])
def test_a_conversation_of_many_turns_is_marked_in_linear_time(context):
    coder = tokenizer.WorldTokenizer()
    tokens = coder.encode("User: a\n\nAssistant: b\n\n" * 5_000)
    started = time.process_time()
    example = tuning_data.example_of(tokens, coder, context)
    assert time.process_time() - started < 2.0
    assert len(example.tokens) == min(len(tokens), context + 1)
    assert sum(example.is_learnt) >= len(example.tokens) // 20


def test_an_answer_that_is_longer_than_the_context_is_learnt_to_the_cut():
    coder = tokenizer.WorldTokenizer()
    tokens = coder.encode("User: q\n\nAssistant: a b c d\n\nUser: more")
    learnt = tuning_data.example_of(tokens, coder, len(tokens)).is_learnt
    first, size = learnt.index(True), sum(learnt)
    for context in range(1, len(tokens)):
        cut = tuning_data.example_of(tokens, coder, context)
        start = min(max(0, first + size - context - 1), first - 1)
        assert cut.tokens == tuple(tokens[start : start + context + 1])
        assert cut.is_learnt == learnt[start : start + context + 1]
        assert sum(cut.is_learnt) == min(size, context)


def test_equal_examples_are_never_on_both_sides():
    train, held_out = tuning_data.split(examples() * 3, 0.25, 0)
    assert not set(train) & set(held_out)
    assert len(train) + len(held_out) == len(set(examples()))
    assert tuning_data.split(examples(), 0.25, 0) == (train, held_out)
    assert tuning_data.split(examples(), 0.0, 0)[1] == []
    with pytest.raises(SettingsError, match="too few"):
        tuning_data.split(examples(1), 0.5, 0)


def test_every_epoch_has_every_example_once():
    given = tuning_data.split(examples(), 0.0, 0)[0][:21]
    seen = [e for step in range(6) for e in tuning_data.batch_of(given, step, 7, 0)]
    assert sorted(seen[:21], key=lambda e: e.tokens) == sorted(given, key=lambda e: e.tokens)
    assert sorted(seen[21:], key=lambda e: e.tokens) == sorted(given, key=lambda e: e.tokens)
    assert seen[:21] != seen[21:]


def test_the_order_of_an_epoch_is_made_once(monkeypatch):
    given, made = examples(20), []

    class Counted(random.Random):
        def shuffle(self, x):
            made.append(len(x))
            super().shuffle(x)

    order = list(range(20))
    random.Random("5 0").shuffle(order)
    tuning_data._order.cache_clear()
    monkeypatch.setattr(random, "Random", Counted)
    seen = [e for step in range(10) for e in tuning_data.batch_of(given, step, 4, 5)]
    assert seen[:20] == [given[number] for number in order]
    assert made == [20, 20]


def test_metrics_whose_last_line_was_cut_off_are_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + '\n{"step": 2, "lo')
    assert tuning.read_metrics(path) == [{"step": 1}]


def test_data_of_a_larger_vocabulary_are_refused(tmp_path):
    path = write_model(make_model(), tmp_path / "m.pth")
    data = tmp_path / "tea.jsonl"
    data.write_text(json.dumps({"text": "User: tea?\n\nAssistant: Tea is brewed."}) + "\n")
    with pytest.raises(SettingsError, match=r"for a larger vocabulary than that of m\.pth"):
        kvasir_tune("state", str(path), data, tmp_path / "run", data_dir=tmp_path)


def test_the_base_is_written_as_before(tmp_path):
    """A run changes its own copy of the weights, not the file."""
    write_vocabulary(tmp_path)
    path = write_model(make_model(), tmp_path / "m.pth")
    before = path.read_bytes()
    model = weights.make_model(weights.read_weights(path), path)
    tune("pissa", tmp_path / "run", model, steps=5).run()
    assert path.read_bytes() == before
