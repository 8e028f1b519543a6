"""Composed states of passages against passages in a row: what the approximation costs.

    python bench/rwkv_composition.py [--steps 1000] [--questions 200] [--json FILE]

A small RWKV-7 is trained from scratch to answer from one to three made-up notes (minutes). Then it
is asked about machines that it has never seen, with one to five notes: read one after the other,
read apart and composed, and with the right note alone. The loss is that of the right answer, in
nats a token; an answer is right if its value is the likeliest word. Needs the extra ``torch``.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

import made_domain as domain
import torch
from small_rwkv import write_vocabulary

from kvasir.core.types import Message, Prompt
from kvasir.rwkv.composition import PassageReader
from kvasir.rwkv.initial import small_rwkv7
from kvasir.rwkv.prompts import TEMPLATE, segments
from kvasir.rwkv.state import State
from kvasir.rwkv.state_cache import StateCache
from kvasir.rwkv.tokenizer import WorldTokenizer, tokenizer_of

NOTES = (1, 2, 3, 5)
WAYS = ("in a row", "composed", "right note alone")


@dataclass(frozen=True)
class Asked:
    """A question with its notes.

    Attributes:
        before: What precedes the notes.
        notes: Each as it is read.
        after: What follows them.
        right: Which of them has the answer.
        answer: The text up to the value, the value, and the rest.
    """

    before: str
    notes: tuple[str, ...]
    after: str
    right: int
    answer: tuple[str, str, str]

    @property
    def in_a_row(self) -> tuple[str, ...]:
        """The notes as one after the other."""
        return (self.notes[0], *(f"\n{note}" for note in self.notes[1:]))


def main() -> int:
    """Train, measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model, coder = train(Path(folder), given.steps)
    found = {str(notes): measure(model, coder, notes, given.questions) for notes in NOTES}
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(table(found))
    return 0


def asked_about(rng: random.Random, machines: Sequence[str], notes: int, turns: int) -> list[Asked]:
    """Return questions about the same notes."""
    names = rng.sample(machines, notes)
    facts = [domain.facts_of(rng) for _ in names]
    numbers = rng.sample(range(1, 100), notes)
    found = []
    for _ in range(turns):
        right, attribute = rng.randrange(notes), rng.choice(list(domain.FACTS))
        question = domain.question(names[right], attribute)
        prompt = Prompt(question, (), (Message("user", question),))
        parts = [
            segments(
                replace(prompt, hits=(domain.hit_of(name, domain.note(name, each)),)),
                TEMPLATE, domain.SYSTEM, [0], number,
            )
            for name, each, number in zip(names, facts, numbers, strict=True)
        ]  # fmt: skip
        (before, _, after), read = parts[0], tuple(passage for _, passage, _ in parts)
        value = facts[right][attribute]
        said = domain.answer_of(names[right], attribute, value, numbers[right])
        start, _, end = said.partition(value)
        found.append(Asked(before, read, after, right, (f" {start.rstrip()}", f" {value}", end)))
    return found


def train(folder: Path, steps: int, batch: int = 14, rate: float = 6e-3) -> tuple[Any, Any]:
    """Return a model that answers from one to three notes, and its tokenizer."""
    write_vocabulary(folder, domain.vocabulary())
    coder = tokenizer_of(folder / "model.pth")
    model = small_rwkv7(coder.size, 2, 64, head_size=32, rank=16, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.99), weight_decay=0.0)
    rng = random.Random(0)
    for step in range(steps):
        for group in optimizer.param_groups:
            fall = 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = rate * min(1, (step + 1) / 20) * (0.1 + 0.9 * fall)
        # It learns to copy from one note first, and then to choose among several.
        most = 1 if step < 0.4 * steps else 3
        rows = [conversation(coder, rng, most) for _ in range(batch)]
        longest = max(len(tokens) for tokens, _ in rows)
        inputs = torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens, _ in rows])
        learnt = torch.tensor([mask + [False] * (longest - len(mask)) for _, mask in rows])
        lengths = torch.tensor([len(tokens) for tokens, _ in rows])
        hidden, _ = model.read(inputs, None, lengths)
        logits = model.head(hidden[:, :-1][learnt[:, 1:]])
        loss = torch.nn.functional.cross_entropy(logits, inputs[:, 1:][learnt[:, 1:]])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step}: {loss.item():.3f}", file=sys.stderr, flush=True)
    return model.eval().requires_grad_(False), coder


def conversation(
    coder: WorldTokenizer, rng: random.Random, most: int
) -> tuple[list[int], list[bool]]:
    """Return the tokens of notes and some questions about them, and which of them are learnt."""
    asked = asked_about(rng, domain.TRAINED, rng.randint(1, most), 4)
    tokens = [
        token for part in (asked[0].before, *asked[0].in_a_row) for token in coder.encode(part)
    ]
    mask = [False] * len(tokens)
    for each in asked:
        prompt = coder.encode(each.after)
        said = [token for part in each.answer for token in coder.encode(part)]
        tokens += prompt + said
        mask += [False] * len(prompt) + [True] * len(said)
    return tokens, mask


@torch.inference_mode()
def measure(model: Any, coder: WorldTokenizer, notes: int, questions: int) -> dict[str, Any]:
    """Return loss and share of right answers, for each way of reading."""
    rng = random.Random(notes)
    losses: dict[str, list[float]] = {way: [] for way in WAYS}
    right: dict[str, int] = dict.fromkeys(WAYS, 0)
    for _ in range(questions):
        (asked,) = asked_about(rng, domain.HELD_OUT, notes, 1)
        for way in WAYS:
            loss, is_right = judge(model, coder, asked, read(model, coder, asked, way))
            losses[way].append(loss)
            right[way] += is_right
    return {
        way: {"loss": statistics.mean(losses[way]), "right": right[way] / questions} for way in WAYS
    }


def read(model: Any, coder: WorldTokenizer, asked: Asked, way: str) -> State:
    """Return the state before the question."""
    if way == "composed":
        reader = PassageReader(model, model.zero_state(), StateCache(None, 0, "f32"), "")
        return reader.read(coder.encode(asked.before), [coder.encode(n) for n in asked.notes])
    notes = asked.in_a_row if way == "in a row" else (asked.notes[asked.right],)
    tokens = [token for part in (asked.before, *notes) for token in coder.encode(part)]
    state: State = model.read(torch.tensor([tokens]))[1]
    return state


def judge(model: Any, coder: WorldTokenizer, asked: Asked, state: State) -> tuple[float, bool]:
    """Return the loss of the right answer, its number left out, and True if the value is found."""
    start, value, _ = (coder.encode(part) for part in asked.answer)
    prompt = coder.encode(asked.after)
    tokens = torch.tensor([prompt + start + value])
    logits = model.head(model.read(tokens, state)[0])[0].log_softmax(-1)
    wanted = tokens[0, len(prompt) :]
    given = logits[len(prompt) - 1 : -1]
    loss = -given.gather(1, wanted[:, None]).mean().item()
    chosen = given[len(start) :].argmax(-1)
    return loss, bool((chosen == wanted[len(start) :]).all())


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = [
        f"| notes | {' | '.join(f'{way}: loss | right' for way in WAYS)} |",
        f"|---|{'---:|---:|' * len(WAYS)}",
    ]
    for notes, ways in found.items():
        cells = [f"{ways[way]['loss']:.3f} | {ways[way]['right']:.0%}" for way in WAYS]
        lines.append(f"| {notes} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
