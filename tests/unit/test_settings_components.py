"""Options of components arrive in the types that their constructors declare."""

import pytest

from kvasir.app import App
from kvasir.core.errors import SettingsError
from kvasir.settings.components import build
from kvasir.settings.loading import load_settings


class Component:
    """Takes an option of every kind."""

    def __init__(
        self,
        words: int = 1,
        share: float = 0.5,
        exact: bool = False,
        title: str = "",
        most: int | None = None,
        extra: dict[str, int] | None = None,
    ) -> None:
        """Keeps what it is given."""
        self.given = {
            "words": words,
            "share": share,
            "exact": exact,
            "title": title,
            "most": most,
            "extra": extra,
        }


NAME = f"{__name__}:Component"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("words", "12", 12),
        ("words", 12.0, 12),
        ("share", "0.25", 0.25),
        ("share", 1, 1.0),
        ("exact", "yes", True),
        ("exact", "False", False),
        ("title", 7, "7"),
        ("most", "3", 3),
        ("most", None, None),
        ("extra", {"a": 1}, {"a": 1}),
    ],
)
def test_an_option_given_as_text_becomes_what_the_constructor_takes(option, value, expected):
    found = build("generators", NAME, {option: value}).given[option]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        ("words", "abc", "a whole number"),
        ("words", 1.5, "a whole number"),
        ("words", True, "a whole number"),
        ("words", None, "a whole number"),
        ("share", "half", "a number"),
        ("share", [1], "a number"),
        ("exact", "maybe", "true or false"),
        ("title", {}, "text"),
        ("most", "few", "a whole number"),
    ],
)
def test_a_value_of_another_type_is_refused_in_one_line_that_names_the_option(option, value, kind):
    with pytest.raises(SettingsError) as caught:
        build("generators", NAME, {option: value})
    assert str(caught.value) == (
        f"generator '{NAME}': option {option} must be {kind}, not {value!r}"
    )


def test_what_cannot_be_made_is_found_without_making_anything():
    options = {"rag.vectordb.type": NAME, "rag.vectordb.options": {"words": "many"}}
    with App(load_settings({}, options, {})) as app, pytest.raises(SettingsError, match="words"):
        app.check_components()
    options["rag.vectordb.options"] = {"words": "3"}
    with App(load_settings({}, options, {})) as app:
        app.check_components()
