"""Inner modules depend neither on how the process was started nor on libraries beyond their own.

A service must act the same wherever it was started: front doors and settings turn what people type
into absolute paths and values, and hand those down.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import kvasir

SOURCE = Path(kvasir.__file__).parent
ALLOWED = ("frontends/", "settings/", "models/", "integrations/", "testing/")
ALLOWED_FILES = ("core/environment.py",)
READING = {
    *("argv", "environ", "environb", "getenv", "putenv"),
    *("cwd", "getcwd", "getcwdb", "chdir"),
    *("home", "expanduser", "expandvars"),
    *("absolute", "abspath", "relpath"),
}
FOLLOWING = {"resolve", "realpath"}
"""Names of ``os``, ``os.path``, ``sys`` and ``Path`` that read the state of the process."""
LINKS = {"components/stores/folder_lock.py", "ingesting/folder_walk.py", "ingesting/sources.py"}
"""Where the links of absolute paths are followed, so that one folder is one under two names."""


def uses(path: Path) -> Iterator[str]:
    """Yield where a module reads the state of the process."""
    name = path.relative_to(SOURCE).as_posix()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "os.path", "sys"):
            found = {alias.name for alias in node.names} & (READING | FOLLOWING)
        elif isinstance(node, ast.Attribute):
            found = {node.attr} & (READING if name in LINKS else READING | FOLLOWING)
        else:
            continue
        yield from (f"{name}:{node.lineno}: {each}" for each in sorted(found))


def test_only_front_doors_and_settings_read_the_state_of_the_process() -> None:
    inner = [
        path
        for path in sorted(SOURCE.rglob("*.py"))
        if not (name := path.relative_to(SOURCE).as_posix()).startswith(ALLOWED)
        and name not in ALLOWED_FILES
    ]
    assert len(inner) > 100
    assert [use for path in inner for use in uses(path)] == []


def test_the_check_sees_what_it_looks_for() -> None:
    module = SOURCE / "frontends/cli/paths.py"
    assert any("abspath" in use for use in uses(module))
    assert any("expanduser" in use for use in uses(module))


def test_the_core_imports_the_standard_library_and_numpy_alone() -> None:
    imported = set()
    for path in (SOURCE / "core").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add(str(node.module))
            elif isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
    others = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name.partition(".")[0] for name in others if not name.startswith("kvasir.core")} == {
        "numpy"
    }
