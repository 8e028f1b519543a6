"""The remaining time of an ingest, on a mixed folder and a clock of its own."""

import random

from kvasir.ingesting.estimate import Estimate

KINDS = {"pdf": (400_000, 0.02), "md": (8_000, 1.0), "html": (30_000, 0.4), "docx": (60_000, 0.1)}
"""Bytes of a file, and characters of text by byte."""


def test_at_half_way_the_remaining_time_of_a_mixed_folder_is_within_half_of_the_truth():
    now = 0.0
    generator = random.Random(7)
    files = {}
    for number in range(700):
        kind = generator.choice(list(KINDS))
        size = int(KINDS[kind][0] * generator.lognormvariate(0, 1))
        files[f"/{number:03}.{kind}"] = size, int(size * KINDS[kind][1] * generator.uniform(0.5, 2))
    estimate = Estimate({uri: size for uri, (size, _) in files.items()}, lambda: now)
    assert estimate.seconds is None
    whole = sum(text for _, text in files.values()) / 20_000
    ratios = []
    for uri, (_, text) in files.items():
        estimate.note_source(uri, text, text // 800)
        estimate.note_done(text)
        now += text / 20_000
        if now >= whole / 2:
            ratios.append(estimate.seconds / max(whole - now, 1))
    assert 1 / 1.5 < ratios[0] < 1.5
    assert estimate.seconds == 0
    assert estimate.passages == sum(text // 800 for _, text in files.values())


def test_what_costs_nothing_does_not_shorten_the_time_of_the_rest():
    now = 0.0
    estimate = Estimate({"/a.md": 1000, "/b.md": 1000, "/c.md": 1000}, lambda: now)
    estimate.note_source("/a.md", 0, 0)
    estimate.note_source("/b.md", 900, 9)
    estimate.note_source("/b.md", 900, 9)
    now = 9.0
    estimate.note_done(900)
    assert (estimate.passages, estimate.seconds) == (14, 4.5)
