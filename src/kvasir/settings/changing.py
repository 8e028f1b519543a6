"""Change keys of a settings file, and leave all of its other lines and its comments as they are.

The places of the keys are those of PyYAML's nodes. The changed file is read as a whole before it
takes the place of the former one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from kvasir.core.errors import SettingsError, StorageError
from kvasir.settings.loading import load_settings


def change_section(
    file: Path,
    section: str,
    values: Mapping[str, str | None],
    *,
    other_names: Mapping[str, str] | None = None,
) -> None:
    """Set keys of a section.

    Args:
        file: The settings file.
        section: A key of its top level.
        values: The keys and their values; None has the default in force.
        other_names: Names that the file may have in place of the keys, and these keys.

    Raises:
        SettingsError: The file cannot be changed, or would be unusable.
        StorageError: It cannot be read or written.
    """
    file = file.resolve()
    try:
        before = file.read_text("utf-8")
    except OSError as error:
        raise StorageError(f"'{file}' cannot be read: {error.strerror}") from error
    after = changed_text(before, section, values, other_names or {})
    if after == before:
        return
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        draft.write_text(after, "utf-8")
        shutil.copymode(file, draft)
        load_settings(draft, environment={})
        draft.replace(file)
    except OSError as error:
        raise StorageError(f"'{file}' cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def changed_text(
    text: str, section: str, values: Mapping[str, str | None], other_names: Mapping[str, str]
) -> str:
    """Return the text of a settings file with some keys of a section changed.

    Raises:
        SettingsError: It is no YAML mapping, or is written in a way that is not understood here.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise SettingsError(f"the settings file is no YAML: {error}") from error
    if root is None:
        return _appended(text, section, values)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise SettingsError("the settings file is no YAML mapping with a key a line")
    found = next(((k, v) for k, v in root.value if k.value == section), None)
    if found is None:
        return _appended(text, section, values)
    key, node = found
    if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
        begin = key.end_mark.index + 1
        return text[:begin] + _block(values, "  ") + text[_end(node, begin) :]
    if node.start_mark.index < key.end_mark.index or not isinstance(node, yaml.MappingNode):
        raise SettingsError(f"the section {section} of the settings file is no mapping")
    edits = list(_edits(node, values, other_names))
    for begin, end, words in sorted(edits, reverse=True):
        text = text[:begin] + words + text[end:]
    return text


def _appended(text: str, section: str, values: Mapping[str, str | None]) -> str:
    gap = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{gap}{section}:{_block(values, '  ')}\n"


def _block(values: Mapping[str, str | None], indent: str) -> str:
    return "".join(f"\n{indent}{key}: {_scalar(value)}" for key, value in values.items())


def _edits(
    node: yaml.MappingNode, values: Mapping[str, str | None], other_names: Mapping[str, str]
) -> Iterator[tuple[int, int, str]]:
    """Yield begin, end and new words of each change of a section's text."""
    present = {}
    for key, value in node.value:
        present[other_names.get(key.value, key.value)] = key, value
    added = {}
    for name, wanted in values.items():
        if name not in present:
            if wanted is not None:
                added[name] = wanted
            continue
        key, value = present[name]
        begin = key.end_mark.index + 1
        if value.start_mark.index < key.end_mark.index or not isinstance(value, yaml.ScalarNode):
            raise SettingsError(f"{key.value} of the settings file has no plain value")
        # A folded or literal text ends with its last line.
        line_end = "\n" if value.style in ("|", ">") else ""
        yield begin, _end(value, begin), f" {_scalar(wanted)}{line_end}"
    if not added:
        return
    if node.flow_style:
        words = "".join(f"{name}: {_scalar(value)}, " for name, value in added.items())
        begin = node.start_mark.index + 1
        yield begin, begin, words if node.value else words.removesuffix(", ")
        return
    first = node.value[0][0].start_mark
    indent = " " * first.column
    words = "".join(f"{name}: {_scalar(value)}\n{indent}" for name, value in added.items())
    yield first.index, first.index, words


def _end(node: yaml.ScalarNode, begin: int) -> int:
    """Return where a scalar ends; an empty one has no place of its own."""
    return max(begin, node.end_mark.index) if node.value else max(begin, node.start_mark.index)


def _scalar(value: str | None) -> str:
    return "null" if value is None else json.dumps(value, ensure_ascii=False)
