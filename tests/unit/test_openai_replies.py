import json

import pytest

from kvasir.core.pieces import CutReason
from kvasir.core.types import Answer
from kvasir.frontends.api.openai_replies import CompletionWriter, Usage

USAGE = Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)


@pytest.mark.parametrize(
    ("incomplete", "reason"),
    [
        ("", "stop"),
        (CutReason.LENGTH, "length"),
        (CutReason.CONTENT_FILTER, "content_filter"),
        (CutReason.REFUSAL, "stop"),
    ],
)
def test_a_completion_says_why_its_text_is_not_whole(incomplete, reason):
    answer = Answer("It is", incomplete=incomplete)
    writer = CompletionWriter("a", 0, "default")
    whole = writer.completion(answer, (), (), USAGE)
    assert whole["choices"][0]["finish_reason"] == reason
    assert whole["kvasir"]["incomplete"] == incomplete
    *_, last, _ = writer.end(answer, (), (), USAGE)
    event = json.loads(last.removeprefix("data:"))
    assert event["choices"][0]["finish_reason"] == reason
