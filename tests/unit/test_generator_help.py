"""The help names the generators without asking the registry."""

from kvasir.core import registry
from kvasir.frontends.cli.options import GENERATORS


def test_the_help_names_every_built_in_generator():
    *named, plug_in = GENERATORS.split(", ")
    assert plug_in == "or a plug-in"
    own = {point.name for point in registry._points("generators") if "kvasir" in point.value}
    assert set(named) == own
