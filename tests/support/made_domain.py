"""A made-up domain, and a small RWKV-7 that is trained from scratch to answer from its notes.

Machines have names of two syllables, and facts: a colour, a material, a town, a metal. In training
every prompt has other facts, so a model can only learn to copy the answer from the passages; the
machines of the held-out questions are in no prompt that it was trained with.
"""

import math
import random

from filelock import FileLock
from libraries import library
from small_rwkv import one_thread, words_of, write_model, write_vocabulary

from kvasir.core.types import Chunk, Hit, Message, Prompt, chunk_id, document_id

torch = library("torch", extra="torch")
initial = library("kvasir.rwkv.initial", "torch", extra="torch")
prompts = library("kvasir.rwkv.prompts", "torch", extra="torch")
relevance = library("kvasir.rwkv.relevance", "torch", extra="torch")
tokenizer = library("kvasir.rwkv.tokenizer")

SYSTEM = "Answer from the passages."
FIRST = (
    *("Mir", "Kol", "Vas", "Tor", "Bel", "Dra", "Fen", "Gor"),
    *("Hal", "Jun", "Lor", "Nal", "Pel", "Rus", "Sor", "Wen"),
)
LAST = (
    *("vak", "dun", "mar", "tek", "lin", "gos", "bar", "nik"),
    *("rod", "zel", "fur", "pim", "das", "kor", "hul", "sem"),
)
FACTS = {
    "colour": ("red", "green", "blue", "white", "black", "grey", "brown", "pink", "amber", "teal"),
    "fuel": ("coal", "peat", "oil", "wood", "gas", "steam", "straw", "tar", "wax", "hay"),
    "town": ("Oslo", "Lund", "Bern", "Riga", "Kiel", "Graz", "Metz", "Pisa", "Cork", "Brno"),
}
"""Attributes and their values."""


def names():
    """Returns the names of all machines, in an order of their own."""
    found = [first + last for first in FIRST for last in LAST]
    random.Random(7).shuffle(found)
    return found


HELD_OUT, TRAINED = names()[:50], names()[50:]


def facts_of(rng):
    return {attribute: rng.choice(values) for attribute, values in FACTS.items()}


def sentence(name, attribute, value):
    return f"The {attribute} of {name} is {value}."


def note(name, facts):
    """Returns the text of a machine's note."""
    return " ".join(sentence(name, attribute, value) for attribute, value in facts.items())


def question(name, attribute):
    return f"What is the {attribute} of {name}?"


def hit_of(name, text):
    document = document_id(f"/notes/{name}.md")
    chunk = Chunk(
        chunk_id(document, text, 0, len(text)),
        document,
        text,
        0,
        len(text),
        metadata={"title": name},
    )
    return Hit(chunk, 0.9, 0.9, None)


def parts_of(asked, hits):
    """Returns the parts of a prompt as the generator makes them, and the number of each hit."""
    order = prompts.stable_order(hits)
    prompt = Prompt(asked, tuple(hits), (Message("user", asked),))
    found = prompts.segments(prompt, prompts.TEMPLATE, SYSTEM, order)
    return found, {place: number for number, place in enumerate(order, 1)}


def conversation(rng, notes=1, turns=3, answer=None):
    """Returns the tokens' texts of a prompt and of some turns about its notes, alternately.

    Several questions about one prompt cost little, and a model learns the sooner.
    """
    chosen = rng.sample(TRAINED, notes)
    facts = [facts_of(rng) for _ in chosen]
    hits = [hit_of(name, note(name, each)) for name, each in zip(chosen, facts, strict=True)]
    found = []
    for turn in range(turns):
        place, attribute = rng.randrange(notes), rng.choice(list(FACTS))
        name, value = chosen[place], facts[place][attribute]
        parts, numbers = parts_of(question(name, attribute), hits)
        said = (answer or answer_of)(name, attribute, value, numbers[place])
        found.append((parts if not turn else parts[-1:], f" {said}"))
    return found


def judgements(rng, turns=4):
    """Returns a passage with one fact and some questions, of which it answers about half.

    The form is that of ``conversation``, with the words of a reranker.
    """
    name, held = rng.choice(TRAINED), rng.choice(list(FACTS))
    text = passage(name, held, rng.choice(FACTS[held]))
    found = []
    for turn in range(turns):
        asked = held if rng.random() < 0.5 else rng.choice(list(FACTS))
        line = relevance.training_text(question(name, asked), text, asked == held)
        prompt, _, said = line.rpartition(relevance.ASKED)
        start = prompt.index("\n\nUser:") if turn else 0
        found.append(([prompt[start:] + relevance.ASKED], said))
    return found


def passage(name, attribute, value):
    """Returns a note of one fact as a reranker reads it."""
    return f"{name} {attribute}\n{sentence(name, attribute, value)}"


def answer_of(name, attribute, value, number=1):
    return f"{sentence(name, attribute, value)[:-1]} [{number}]."


def turned_answer(name, attribute, value, number=1):
    """Returns an answer as another house wants it, which the model was not trained for."""
    return f"{value} is the {attribute} of {name} [{number}]."


def vocabulary():
    """Returns the words that are tokens."""
    texts = [
        prompts.TEMPLATE, SYSTEM, "What is the of is The",
        " ".join(FACTS), *(" ".join(values) for values in FACTS.values()),
    ]  # fmt: skip
    words = [f" {word.strip()}" for text in texts for word in words_of([text])]
    words += [f" {first}" for first in FIRST] + list(FIRST) + list(LAST)
    words += ["System:", "User:", "Assistant:", "\n\nUser:", "\n\nAssistant:", "What", "The"]
    words += ["\n\n", *(f"[{n}] " for n in range(1, 4)), *(f" [{n}]." for n in range(1, 4))]
    # Those of what a reranker reads and says.
    words += ["Passage:", "\nDoes", " passage", " answer", " this", " yes", " no"]
    return list(dict.fromkeys(word for word in words if len(word) > 1))


def train(folder, steps=300, batch=14, rate=6e-3, turns=3, judged=4):
    """Trains a model from scratch and writes it; returns its path."""
    write_vocabulary(folder, vocabulary())
    coder = tokenizer.tokenizer_of(folder / "model.pth")
    model = initial.small_rwkv7(coder.size, 2, 64, head_size=32, rank=16, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.99), weight_decay=0.0)
    rng = random.Random(0)
    for step in range(steps):
        for group in optimizer.param_groups:
            fall = 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = rate * min(1, (step + 1) / 20) * (0.1 + 0.9 * fall)
        texts = [conversation(rng, turns=turns) for _ in range(batch)]
        texts += [judgements(rng) for _ in range(judged)]
        rows = [_tokens(coder, text) for text in texts]
        longest = max(len(tokens) for tokens, _ in rows)
        inputs = torch.zeros(len(rows), longest, dtype=torch.long)
        targets = torch.full((len(rows), longest), -100)
        for row, (tokens, learnt) in enumerate(rows):
            inputs[row, : len(tokens)] = torch.tensor(tokens)
            for place in range(1, len(tokens)):
                if learnt[place]:
                    targets[row, place - 1] = tokens[place]
        lengths = torch.tensor([len(tokens) for tokens, _ in rows])
        hidden, _ = model.read(inputs, None, lengths)
        wanted = targets != -100
        loss = torch.nn.functional.cross_entropy(model.head(hidden[wanted]), targets[wanted])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return write_model(model, folder / "model.pth")


def _tokens(coder, turns):
    tokens, learnt = [], []
    for number, (parts, answer) in enumerate(turns, 1):
        prompt = [token for part in parts for token in coder.encode(part)]
        said = [*coder.encode(answer), *([0] if number == len(turns) else [])]
        tokens += prompt + said
        learnt += [False] * len(prompt) + [True] * len(said)
    return tokens, learnt


def trained_model(folder):
    """Returns the path of the trained model; the first process that asks trains it.

    ``folder`` is one that all processes of a session of tests share.
    """
    place = folder / "made-domain"
    place.mkdir(exist_ok=True)
    with FileLock(place / ".lock"):
        if not (place / "model.pth").is_file():
            with one_thread():
                train(place)
    return place / "model.pth"
