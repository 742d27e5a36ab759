import subprocess
import sys

import pytest

from espalier.settings.problems import StudyError
from espalier.settings.words import parse, value, words
from espalier.stages import STAGES


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1e-3", 0.001), ("1E5", 1e5), ("no", "no"), ("true", True), ("[1, 2]", [1, 2]), ("null", None), ("007", 7)],
)
def test_values_are_yaml_1_2(text, expected):
    found = value(text)
    assert found == expected and type(found) is type(expected)


def test_words_are_read_back_and_leave_defaults_out():
    given = ["model.name=lenet", "train.optimizer.lr=1e-3", "train.epochs=10", "seed=2", "augment=[pad_crop]"]
    spec = parse(STAGES["train"].settings, given)
    assert spec.train.optimizer.lr == 0.001
    assert parse(STAGES["train"].settings, words(spec)) == spec
    assert not any(word.startswith("train.epochs") for word in words(spec)), "10 epochs are the default"


def test_all_mistakes_of_a_command_line_come_at_once():
    with pytest.raises(StudyError) as raised:
        parse(
            STAGES["train"].settings, ["model.name=resent", "train.epochs=2.5", "train.optimizer.momentun=0.5", "seed"]
        )
    text = str(raised.value)
    for part in ("did you mean 'resnet'", "train.epochs: found 2.5", "did you mean 'momentum'", "expected key=value"):
        assert part in text


def test_the_plan_imports_neither_torch_nor_numpy():
    code = "import sys; import espalier.plan.build, espalier.plan.manifest, espalier.plan.config; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="workflow/scripts"
    )
    assert not {"torch", "numpy", "pandas", "accelerate"} & set(loaded.stdout.split())
