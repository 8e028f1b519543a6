"""Runs of tuning that take seconds: a small model, and examples that it can learn."""

from libraries import library
from small_rwkv import random_model

tuning = library("kvasir.rwkv.tuning", "peft", extra="torch")
tuning_data = library("kvasir.rwkv.tuning_data", "torch", extra="torch")


def make_model(version=7, **options):
    chosen = {"vocabulary": 257, "layers": 2, "width": 64, "head_size": 32} | options
    return random_model(version, **chosen)


def examples(count=40, length=12, seed=0):
    """Returns examples that a tuned model can learn: each token decides the next."""
    found = []
    for number in range(count):
        tokens = [1 + (number * 7) % 50]
        for _ in range(length):
            tokens.append(1 + (tokens[-1] * 3 + 11) % 50)
        found.append(tuning_data.Example(tuple(tokens), (False, *[True] * length)))
    return found


def options_of(kind, **changes):
    rates = {"state": 0.3, "lora": 1e-2, "pissa": 5e-3}
    chosen = {"steps": 30, "batch": 4, "rank": 4, "alpha": 8.0, "evaluate_every": 10}
    chosen |= {"learning_rate": rates[kind], "warmup": 3, "held_out": 0.25}
    return tuning.TuneOptions(kind, **(chosen | changes))


def tune(kind, folder, model=None, **changes):
    model = model or make_model()
    return tuning.Tuning(model, "base", examples(), folder, options_of(kind, **changes))
