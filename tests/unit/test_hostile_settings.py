"""Settings that nobody means well with: each is one line, and no code but a component's runs."""

import pytest

from kvasir.core.errors import UnknownComponentError
from kvasir.core.registry import build


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("os:system", "is not a class"),
        ("os:path", "is not a class"),
        (":", "not of the form module:Class"),
        ("a:b:c", "not of the form module:Class"),
        ("..:b", "not of the form module:Class"),
        ("\0:b", "not of the form module:Class"),
        ("nosuch.module:Thing", "nosuch"),
    ],
)
def test_only_classes_are_components(name, complaint):
    with pytest.raises(UnknownComponentError, match=complaint) as refused:
        build("stores", name, {})
    assert "\n" not in str(refused.value)
