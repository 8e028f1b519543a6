"""Rerankers that need no extra keep the contract."""

import pytest
from cross_encoders import write_cross_encoder

import kvasir.core.registry as registry
from kvasir.testing.rerankers import QUERY, TEXTS, RerankerContract


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def openvino(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reranker")
    write_cross_encoder(folder, [QUERY, *TEXTS], architecture=request.param)
    return registry.build("rerankers", "openvino", {"name": str(folder)})


class TestOpenVino(RerankerContract):
    @pytest.fixture
    def reranker(self, openvino):
        return openvino
