"""Filters on the command line: dates, lists, sources, file types and fields that do not exist."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Kvasir = Callable[..., Any]

_NOTES = {
    "r2019.md": "year: 2019\ntitle: First, part 1\ndate: 2019-05-01\ntags: [pump]\ndone: true",
    "r2021.md": "year: 2021\ndate: 2021-06-01T10:00:00+02:00\ntags: [oil, filter]\ndone: false",
    "old/r2022.md": "year: 2022\ndate: 2022-03-04\ntags: [pump, oil]\nplace: {hall: 3}",
}
_QUERY = "Where was the pump repaired?"


@pytest.fixture
def reports(kvasir: Kvasir, tmp_path: Path) -> Kvasir:
    """Ingest three notes with front matter and a text without; return the command line."""
    for name, front in _NOTES.items():
        file = tmp_path / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"---\n{front}\n---\nThe pump was repaired in the hall.\n")
    text = tmp_path / "in" / "plain.txt"
    text.write_text("The pump was repaired outside.\n")
    os.utime(text, (1_700_000_000, 1_700_000_000))
    kvasir("ingest", "in")
    return kvasir


def _found(run: Kvasir, filters: str) -> list[str]:
    hits = run("search", "--json", "--filters", filters, _QUERY).json
    uris = [uri for hit in hits for uri in (hit["chunk"]["metadata"]["source_uri"], *hit["copies"])]
    return sorted(Path(uri).stem for uri in uris)


def test_documents_are_found_by_dates_lists_sources_and_types(
    reports: Kvasir, tmp_path: Path
) -> None:
    shown = reports("documents", "show", "--json", "in/old/r2022.md").json["metadata"]
    assert shown["tags"] == ["pump", "oil"]
    assert (shown["date"], shown["year"], shown["place.hall"]) == ("2022-03-04", 2022, 3)
    later = {"field": "date", "operator": ">=", "value": "2022-01-01"}
    for filters, expected in {
        json.dumps(later): ["r2022"],
        "date>=2021": ["r2021", "r2022"],
        "date<2021-06": ["r2019"],
        "date=2021-06-01": ["r2021"],
        "tags=oil": ["r2021", "r2022"],
        "tags=oil,tags=pump": ["r2022"],
        "tags!=oil": ["plain", "r2019"],
        'title="First, part 1"': ["r2019"],
        "year>2019,done=false": ["r2021"],
        "source=in/*": ["plain", "r2019", "r2021", "r2022"],
        "source=in/old/*": ["r2022"],
        "source=in/old/": ["r2022"],
        "source=./in/r20*": ["r2019", "r2021"],
        f"source={tmp_path}/in/plain.txt": ["plain"],
        "source!=in/old/*,type=md": ["r2019", "r2021"],
        "type=txt": ["plain"],
        "modified<2024,modified>=2023-11-14": ["plain"],
        "tags=absent": [],
    }.items():
        assert _found(reports, filters) == expected, filters
    answer = reports("ask", "--json", "--filters", "source=in/old/*", _QUERY).json
    assert {Path(each["source_uri"]).stem for each in answer["citations"]} == {"r2022"}


def test_an_unknown_field_and_a_malformed_filter_are_one_line_and_exit_code_2(
    reports: Kvasir,
) -> None:
    for command in (
        ("search", "--filters"),
        ("ask", "--filters"),
        ("chat", "-qq", "--rag", "--retriever-filters"),
    ):
        unknown = reports(*command, "tag=oil", _QUERY, code=2)
        assert unknown.out == ""
        assert "has the field 'tag', did you mean 'tags'? (there are: " in unknown.err
        assert "year)" in unknown.err
        assert unknown.err.count("\n") == 1
    assert 'title="Rules, part 2"' in reports("search", "--filters", "a=b, c", "x", code=2).err
    assert "needs a number or a date" in reports("search", "--filters", "tags>a", "x", code=2).err


def test_a_list_is_given_in_json_or_by_a_repeated_key(reports: Kvasir) -> None:
    given = ("topic=hall", "topic=pump", "years=[2019, 2020]", "due=2024-03-15")
    reports("documents", "metadata", "in/plain.txt", *given)
    shown = reports("documents", "show", "--json", "in/plain.txt").json["given"]
    assert shown == {"topic": ["hall", "pump"], "years": [2019, 2020], "due": "2024-03-15"}
    for filters in ("topic=pump", "years>2019", "due>=2024-03,due<2024-04"):
        assert _found(reports, filters) == ["plain"], filters
    metadata = [argument for each in given for argument in ("--metadata", each)]
    again = reports("ingest", "--json", "in/plain.txt", *metadata).json
    assert (len(again["unchanged"]), again["relabelled"]) == (1, [])
