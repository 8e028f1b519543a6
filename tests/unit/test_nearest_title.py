"""What the terminal says above the nearest passages."""

from kvasir.core.types import Answer, Certainty
from kvasir.frontends.cli.rendering import nearest_title


def test_a_doubt_that_is_not_the_confidence_is_said_instead_of_it():
    doubt = "the passages do not name 'vertebrae'"
    answer = Answer("33 [1]", confidence=0.97, certainty=Certainty.NOT_SURE, doubt=doubt)
    title = nearest_title(answer)
    assert doubt in title and "0.97" not in title


def test_a_low_confidence_is_said_as_a_number():
    answer = Answer("33 [1]", confidence=0.51, certainty=Certainty.NOT_SURE)
    assert "(confidence 0.51)" in nearest_title(answer)
