"""Settings that nobody means well with: each is one line, and no code but a component's runs."""

import pytest

from kvasir.core.errors import SettingsError, UnknownComponentError
from kvasir.core.registry import build
from kvasir.settings.loading import load_settings, parse_assignment, read_settings_file


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("os:system", "is not a class"),
        ("os:path", "is not a class"),
        (":", "not of the form module:Class"),
        ("a:b:c", "not of the form module:Class"),
        ("..:b", "not of the form module:Class"),
        ("\0:b", "not of the form module:Class"),
        ("nosuch.module:Thing", "nosuch"),
    ],
)
def test_only_classes_are_components(name, complaint):
    with pytest.raises(UnknownComponentError, match=complaint) as refused:
        build("stores", name, {})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("collection: 2024-02-30", "cannot be read"),
        ("rag: " + "[" * 3_000, "levels deep"),
        ("rag: " + "{a: " * 3_000, "levels deep"),
        ("rag: " + "[" * 100 + "]" * 100, "levels deep"),
        ("rag: &x {splitter: *x}", "holds itself"),
        ("&x {rag: *x}", "holds itself"),
        ("rag: &x [*x, *x]", "holds itself"),
        ("rag: {ingest: {max_file_mb: " + "9" * 5_001 + "}}", "cannot be read"),
        ("rag: {ingest: {max_file_mb: " + "9" * 4_000 + "}}", "too large"),
        ("rag: {ingest: {max_file_mb: 0x" + "f" * 9_000 + "}}", "too large"),
        ('rag: {vectordb: {uri: "\\0"}}', "NUL"),
        ('data_dir: "a\\0b"', "NUL"),
        ("collection: 2024-02-28", "collection"),
        ("? [a, b]\n: c", "not valid YAML"),
        ("rag: {1: 2}", "setting 'rag.1'"),
        ("rag: 3", "rag"),
    ],
)
def test_a_settings_file_that_cannot_be_used_is_one_line(tmp_path, text, complaint):
    file = tmp_path / "kvasir.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_settings(file)
    assert complaint in str(refused.value)
    assert len(str(refused.value)) < 1_000
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3_000,
        "{a: " * 3_000,
        "[2024-02-30]",
        "{a: &x [*x]}",
        "[" + "9" * 5_001 + "]",
        '["\\0"]',
    ],
)
def test_a_value_of_the_command_line_that_cannot_be_read_is_one_line(text):
    with pytest.raises(SettingsError, match=r"the value of rag\.splitter") as refused:
        parse_assignment(f"rag.splitter={text}")
    assert len(str(refused.value).splitlines()) == 1


def test_aliases_of_aliases_are_looked_at_once(tmp_path):
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    file = tmp_path / "kvasir.yaml"
    file.write_text("\n".join(lines))
    assert len(read_settings_file(file)) == 40


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rag.ingest.timeout", ".inf"),
        ("rag.ingest.timeout", "1e300"),
        ("rag.ingest.timeout", ".nan"),
        ("rag.ingest.memory_mb", "99999999999999"),
        ("rag.ingest.max_file_mb", "99999999999999"),
        ("server.shutdown_seconds", ".inf"),
        ("server.answer_seconds", "1e300"),
        ("server.keep_jobs_days", "1e300"),
        ("server.token_minutes", "99999999999999"),
        ("answer_log.retention_days", ".inf"),
        ("mail.imap.seconds", ".inf"),
    ],
)
def test_limits_that_no_machine_can_keep_are_refused(tmp_path, key, value):
    section, _, name = key.rpartition(".")
    file = tmp_path / "kvasir.yaml"
    opened = "".join(f"{part}: {{" for part in section.split("."))
    file.write_text(f"{opened}{name}: {value}{'}' * opened.count('{')}")
    with pytest.raises(SettingsError, match=f"setting '{key}'.* must be"):
        load_settings(file)
