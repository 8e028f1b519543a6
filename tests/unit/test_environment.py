"""The telemetry of the libraries that Kvasir uses is off, and none is loaded before it is used."""

import os
import subprocess
import sys

import pytest

from kvasir.core.environment import TELEMETRY_SWITCHES

TELEMETRY_OF_THE_HUB = """
import kvasir
from huggingface_hub import constants
assert constants.HF_HUB_DISABLE_TELEMETRY
"""

MODULES_AFTER = """
import sys
import kvasir
from kvasir.frontends.cli.main import cli
cli({arguments}, standalone_mode=False)
assert "huggingface_hub" not in sys.modules
assert "httpx2" not in sys.modules
"""


def run(program):
    clean = {name: value for name, value in os.environ.items() if name not in TELEMETRY_SWITCHES}
    return subprocess.run([sys.executable, "-c", program], env=clean, check=True)


def test_the_telemetry_of_huggingface_hub_is_off():
    run(TELEMETRY_OF_THE_HUB)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["models", "list"], ["models", "pull", "--help"]]
)
def test_huggingface_hub_is_loaded_only_to_download(arguments):
    run(MODULES_AFTER.format(arguments=arguments))
