"""The archive for Lambda keeps its limits, and leaves out what Lambda has."""

import importlib.util
import zipfile
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "lambda_zip.py"


def load():
    spec = importlib.util.spec_from_file_location("lambda_zip", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_lambda_has_and_no_function_needs_stays_out(tmp_path):
    script = load()
    for name in ("kvasir/app.py", "boto3/session.py", "boto3-1.2.dist-info/METADATA"):
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n" * 100)
    for name in ("numpy/tests/test_x.py", "numpy/__pycache__/x.pyc", "numpy/core.py"):
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n" * 50)
    script.remove_unneeded(tmp_path / "folder")
    assert script.sizes(tmp_path / "folder") == {"kvasir": 600, "numpy": 300}
    script.write_archive(tmp_path / "folder", tmp_path / "kvasir.zip")
    with zipfile.ZipFile(tmp_path / "kvasir.zip") as archive:
        assert sorted(archive.namelist()) == ["kvasir/app.py", "numpy/core.py"]
