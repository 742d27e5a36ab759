"""Counts in words: of one thing in the singular, wherever they are printed."""

from pathlib import Path

import pytest

from espalier.counted import counted
from espalier.plan.build import build
from espalier.results.call_end import line
from espalier.results.format import style
from espalier.results.read.run_state import State

ONE = "title: t\ndataset: digits\nmodel: mlp\ntrain: {epochs: 1}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (counted(1, "run"), "1 run"),
        (counted(0, "run"), "0 runs"),
        (counted(1200, "run"), "1,200 runs"),
        (counted(1, "axis", "axes"), "1 axis"),
        (counted(2, "axis", "axes"), "2 axes"),
        (style.missing(0, 1), "Incomplete: 0 of 1 run has a result."),
        (style.missing(1, 2, what="history"), "Incomplete: 1 of 2 runs have a history."),
        (line(Path("p"), {"runs": {}}, {"one": State("done", "log")}), "p: 1 of 1 run is done"),
    ],
)
def test_one_thing_is_in_the_singular(words, expected):
    assert words == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("stages: [train]\n", "study s: 1 configuration × 1 repeat = 1 chain, 2 runs asked"),
        ("repeats: 2\nstages: [train]\n", "study s: 1 configuration × 2 repeats = 2 chains, 4 runs asked"),
    ],
)
def test_a_plan_of_one_configuration(tmp_path, keys, expected):
    (tmp_path / "s.yaml").write_text(ONE + keys)
    assert build(["s"], tmp_path).summary().splitlines()[0] == expected
