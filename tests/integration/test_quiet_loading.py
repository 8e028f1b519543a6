"""Loading a model draws nothing on the terminal."""

import subprocess
import sys

import pytest
from cross_encoders import write_cross_encoder
from small_models import write_sentence_model

from kvasir.testing.embedders import TEXTS

pytestmark = pytest.mark.xdist_group("torch")

COMPONENTS = ("openvino", "sentence-transformers", "cross-encoder")
LOADING = """
import sys
import kvasir.core.registry as registry

def say(component):
    for stream in (sys.stdout, sys.stderr):
        print("loading", component, file=stream, flush=True)

for engine in ("openvino", "sentence-transformers"):
    say(engine)
    registry.build("embedders", engine, {"name": sys.argv[1]}).embed_queries(["quiet"])
say("cross-encoder")
registry.build("rerankers", "cross-encoder", {"name": sys.argv[2], "device": "cpu"})
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """What stands on the terminal after each component's name.

    A process of its own: libraries of other tests write to this one's terminal when they like.
    """
    encoder = write_sentence_model(tmp_path_factory.mktemp("encoder"), "bert", "mean")
    reranker = write_cross_encoder(tmp_path_factory.mktemp("reranker"), TEXTS)
    program = [sys.executable, "-c", LOADING, str(encoder), str(reranker)]
    run = subprocess.run(program, capture_output=True, text=True, check=True)
    parts = [stream.split("loading ") for stream in (run.stdout, run.stderr)]
    assert [part[0] for part in parts] == ["", ""]
    return [part[1:] for part in parts]


@pytest.mark.parametrize("component", COMPONENTS)
def test_loading_draws_nothing_on_the_terminal(drawn, component):
    number = COMPONENTS.index(component)
    assert [part[number] for part in drawn] == [f"{component}\n"] * 2
