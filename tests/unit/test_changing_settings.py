"""Keys of a settings file are changed, and everything else stays as it was written."""

import pytest
import yaml

from kvasir.core.errors import SettingsError
from kvasir.settings.changing import change_section, changed_text

NEW = {"base_model_file": "/models/b: 1.pth", "state_path": None}
OTHER = {"base_model_path": "base_model_file"}
COMMENTED = """# Ours
llm:
  # The model.
  num_workers: 2  # two
  base_model_path: x.gguf  # small
  state_path:      # none yet
index:
  enabled: true
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1",
        "llm:\nindex: {}\n",
        "llm: null # x\n",
        "llm: {}\n",
        "llm: {base_model_file: a, enabled: true}\n",
        "llm:\n    state_path: ~\n",
        "llm:\n  state_path: 'x y' # z\n  base_model_file: >\n    aa\n    bb\n  enabled: true\n",
        COMMENTED,
    ],
)
def test_the_keys_have_the_new_values_and_the_rest_the_old_ones(text):
    before = yaml.safe_load(text) or {}
    after = yaml.safe_load(changed_text(text, "llm", NEW, OTHER))
    llm = {OTHER.get(key, key): value for key, value in after.pop("llm").items()}
    old = {OTHER.get(key, key): value for key, value in (before.pop("llm", None) or {}).items()}
    assert after == before
    assert {key: each for key, each in (old | NEW).items() if each is not None} == {
        key: each for key, each in llm.items() if each is not None
    }


def test_comments_and_names_stay():
    changed = changed_text(COMMENTED, "llm", NEW, OTHER)
    assert changed == COMMENTED.replace("x.gguf", '"/models/b: 1.pth"').replace(
        "state_path:      #", "state_path: null      #"
    )


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]\n",
        "{llm: {}}\n",
        "llm: 3\n",
        "llm:\n  state_path: [1]\n",
        "a: &x 1\nllm: *x\n",
        "a: [",
    ],
)
def test_what_is_not_understood_is_refused(text):
    with pytest.raises(SettingsError):
        changed_text(text, "llm", NEW | {"state_path": "s.pth"}, {})


def test_a_file_that_would_be_unusable_is_not_written(tmp_path):
    file = tmp_path / "ragq.yml"
    file.write_text("llm:\n  num_workers: 1\n")
    with pytest.raises(SettingsError, match="num_workers"):
        change_section(file, "llm", {"num_workers": "many"})
    assert file.read_text() == "llm:\n  num_workers: 1\n"
    assert list(tmp_path.iterdir()) == [file]
