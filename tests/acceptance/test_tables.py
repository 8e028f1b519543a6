"""A user asks about a table that is longer than a passage, without a language model."""

import json


def test_a_table_is_listed_whole_and_its_rows_are_counted(kvasir, tmp_path):
    rows = "".join(f"{1200 + n},Fault number {n} of the printer in room {n}\n" for n in range(31))
    (tmp_path / "issues.csv").write_text(f"Issue ID,Summary\n{rows}")
    kvasir("ingest", "issues.csv")
    answer = json.loads(kvasir("ask", "List all issues", "--json").out)
    text = answer["text"]
    assert all(f"| {1200 + n} |" in text for n in range(31))
    assert not answer["refused"]
    assert "Computed: 31 rows." in kvasir("ask", "How many issues are there?").out
