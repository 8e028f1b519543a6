"""Public types become JSON in ``core/wire.py`` and nowhere else, shown over the syntax tree."""

import ast
from collections.abc import Iterator
from pathlib import Path

import kvasir

ROOT = Path(kvasir.__file__).parent
FORMS = {"to_dict", "from_dict", "to_json", "from_json", "as_dict", "_as_dict", "_to_dict"}

OWN_JSON = {
    "app.py": "a key of settings, of which only the hash is kept",
    "cached_answers.py": "a key of settings and request, of which only the hash is kept",
    "components/embedders/sentence_model.py": "a key of which only the hash is kept",
    "components/extractors/json_data.py": "what is nested too deeply in a file of data",
    "components/generators/llm_server.py": "an error of the server, shown as it came",
    "components/generators/openai.py": "a malformed event of the server, shown as it came",
    "components/stores/folder_lock.py": "the owner's record of a locked folder",
    "components/stores/milvus.py": "the note that Milvus keeps with a collection",
    "components/stores/qdrant_points.py": "numbers that the engine would round, as text",
    "core/wire.py": "this is the place",
    "database/dumping.py": "rows of tables, for a backup",
    "frontends/api/caching.py": "plain data of the JSON form, of which the hash is the ETag",
    "frontends/api/openai_replies.py": "the protocol of OpenAI",
    "frontends/api/operations.py": "plain data of the JSON form, in lines of a stream",
    "frontends/api/routes/answers.py": "plain data of the JSON form, in lines of a stream",
    "frontends/api/routes/tuning.py": "plain data of the JSON form, in events of a stream",
    "frontends/cli/logins.py": "the tokens that a user got from servers",
    "frontends/cli/main.py": "an error; importing numpy would delay every --help",
    "frontends/ui/evaluation.py": "the result of a run, as it came",
    "frontends/ui/files.py": "a key by which work on the same sources is found",
    "frontends/ui/look.py": "texts in the style and a script of a page",
    "frontends/ui/script.py": "texts in a script of a page",
    "frontends/mcp/serving.py": "plain data of the JSON form, as the text of a tool's answer",
    "frontends/process.py": "lines of the log",
    "ingesting/page_picture.py": "the request of a picture, to a process of its own",
    "integrations/haystack.py": "keys by which equal settings and metadata are found",
    "jobs/chunk_embedding.py": "texts that wait in the spool for another process",
    "maintenance/backup.py": "the manifest of a backup",
    "questions/answer_cache.py": "the sources of a kept answer, in a column of a table",
    "remote/client.py": "settings in a header of a request",
    "remote/uploading.py": "fields of a form, beside the files",
    "rwkv/adapter_files.py": "the configuration of an adapter of peft",
    "rwkv/state_files.py": "the name of the model that a tuned state belongs to",
    "rwkv/tuning.py": "lines of metrics, as trainers write them",
    "rwkv/weights.py": "the configuration of a model of Transformers",
    "settings/changing.py": "a quoted text of YAML",
    "sharing.py": "a key of settings, of which only the hash is kept",
    "testing/model_server.py": "the protocol of the language model servers that it stands for",
    "tuning_files.py": "lines of examples",
    "tuning_loop.py": "the record of a loop, and the cases that it has asked",
}
"""Modules that write JSON of other things than public types, and what."""

HAYSTACK = {"integrations/haystack.py"}
"""Haystack's components must have ``to_dict`` and ``from_dict``; they write their settings."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def writes_json(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in ("dump", "dumps")
        and isinstance(node.value, ast.Name)
        and node.value.id == "json"
        for node in ast.walk(tree)
    )


def test_json_is_written_where_it_is_listed_with_a_reason():
    found = {name for name, tree in trees() if writes_json(tree)}
    assert found == OWN_JSON.keys()


def test_nothing_takes_functions_out_of_the_json_module():
    """Otherwise the test above would not see them."""
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "json":
                assert {each.name for each in node.names} <= {"JSONDecodeError"}, name


def test_no_class_or_module_has_a_form_of_its_own():
    found = {
        f"{name}: {node.name}"
        for name, tree in trees()
        if name not in {"core/wire.py", *HAYSTACK}
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name in FORMS
    }
    assert not found


def test_no_module_takes_dataclasses_apart_by_itself():
    found = {
        f"{name}:{node.lineno}"
        for name, tree in trees()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in ("asdict", "astuple"))
        or (isinstance(node, ast.Attribute) and node.attr in ("asdict", "astuple"))
        or (isinstance(node, ast.alias) and node.name in ("asdict", "astuple"))
    }
    assert not found
