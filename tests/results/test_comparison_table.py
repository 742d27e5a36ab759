"""Differences from a baseline, their correction, and what is said and shown of them."""

import itertools
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from espalier.errors import Mistake
from espalier.plan.build import build
from espalier.plan.manifest import manifest
from espalier.results.compare import verdicts
from espalier.results.compare.significance import difference, holm, paired, welch
from espalier.results.format import numbers, table
from espalier.results.read import tidy
from espalier.results.requested import Asked, asked
from espalier.settings.problems import StudyError
from support import study_on_disk as disk

NAN = float("nan")


def drawn(seed, *sizes):
    generator = np.random.default_rng(seed)
    return [generator.normal(95 + index, 1 + index, size) for index, size in enumerate(sizes)]


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_paired_agrees_with_scipy(n):
    first, second = drawn(n, n, n)
    found, expected = paired(first, second), stats.ttest_rel(first, second)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (found.n, found.mean, found.paired) == (n, pytest.approx(np.mean(first - second)), True)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 5), (10, 3), (30, 30)])
def test_welch_agrees_with_scipy(n, m):
    first, second = drawn(n + m, n, m)
    found, expected = welch(first, second), stats.ttest_ind(first, second, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (found.n, found.paired) == (min(n, m), False)


def test_seeds_pair_whatever_their_order_and_missing_ones_are_left_out():
    values, reference = {0: 95.0, 1: 96.0, 2: 97.5, 3: NAN, 4: 90.0}, {2: 96.0, 3: 50.0, 0: 94.0, 1: 95.5}
    found = difference(values, reference)
    assert found == paired([95.0, 96.0, 97.5], [94.0, 95.5, 96.0])
    assert found.p == pytest.approx(stats.ttest_rel([95.0, 96.0, 97.5], [94.0, 95.5, 96.0]).pvalue)


def test_seeds_that_do_not_pair_are_two_samples():
    first, second = {0: 95.0, 1: 96.0, 2: 97.5}, {2: 93.0, 3: 94.5, 4: 92.0}
    found = difference(first, second)
    assert not found.paired
    expected = stats.ttest_ind([95.0, 96.0, 97.5], [93.0, 94.5, 92.0], equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("second", [{}, {5: 94.0}, {0: 94.0}])
def test_one_value_is_no_test(second):
    found = difference({0: 95.0, 1: 96.0}, second)
    assert found.n < 2
    assert all(map(math.isnan, (found.low, found.high, found.p)))


def test_equal_differences_are_steps_of_the_scale_and_no_certainty():
    # Each seed one image of 360 better: t is infinite, or 1e14 after rounding.
    reference = np.array([97.5, 98.0555555, 96.9444444])
    better = paired(reference + 100 / 360, reference)
    assert better.mean == pytest.approx(100 / 360) and math.isnan(better.p) and math.isnan(better.low)
    assert paired(reference, reference).p == 1
    assert math.isnan(welch([95.0, 95.0], [96.0, 96.0]).p)


def test_holm_by_hand():
    # Sorted: 0.005 × 4, 0.01 × 3, 0.03 × 2, and 0.04 × 1 raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def closed(p):
    """Holm is Bonferroni on every set of hypotheses: one is rejected if all sets that hold it are."""
    sets = [s for size in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), size)]
    return [max(min(1, len(s) * min(p[j] for j in s)) for s in sets if i in s) for i in range(len(p))]


@pytest.mark.parametrize("seed", range(10))
def test_holm_is_the_closed_test(seed):
    p = np.round(np.random.default_rng(seed).uniform(0, 0.3, 6), 2)
    assert holm(p) == pytest.approx(closed(list(p)))


def test_what_was_not_tested_is_no_comparison():
    found = holm([NAN, 0.02, NAN, 0.03])
    assert np.isnan(found[[0, 2]]).all()
    assert found[[1, 3]] == pytest.approx([0.04, 0.04])
    assert len(holm([])) == 0


def normal(generator, n, mean=0.0):
    return dict(enumerate(generator.normal(mean, 1, n)))


@pytest.mark.parametrize("rows", [2, 5, 12])
def test_equal_rows_seldom_lose_the_first_place(rows):
    generator = np.random.default_rng(rows)
    wrong = [any(verdicts.first_places({k: normal(generator, 4) for k in range(rows)}).values()) for _ in range(400)]
    # Marks are given only where one is worse. 5 % and two standard errors.
    assert np.mean(wrong) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)


def test_the_best_shares_its_place_with_what_is_not_worse():
    best = {0: 99.0, 1: 99.2, 2: 98.8, 3: 99.1}
    same = {0: 98.7, 1: 99.4, 2: 98.5, 3: 99.3}
    worse = {0: 90.0, 1: 90.1, 2: 89.9, 3: 90.0}
    found = verdicts.first_places({"worse": worse, "best": best, "same": same, "one": {0: 99.9}})
    assert found == {"worse": False, "best": True, "same": True, "one": False}
    # All alike, or nothing to compare with: no mark.
    assert not any(verdicts.first_places({"best": best, "same": same}).values())
    assert not any(verdicts.first_places({"best": best, "one": {0: 10.0}}).values())
    assert verdicts.first_places({}) == {}


def frame_of(values):
    """Configuration → values by seed, as a frame of runs."""
    rows = [(name, seed, value) for name, own in values.items() for seed, value in own.items()]
    return pd.DataFrame(rows, columns=["configuration", "seed", "test_top1"])


def test_verdicts():
    base = {seed: 95 + 0.1 * (seed % 3) for seed in range(5)}
    shifts = {"up": 2.0, "down": -2.0, "near": 0.0}
    wobble = {0: 0.1, 1: -0.1, 2: 0.05, 3: -0.05, 4: 0.02}
    values = {"base": base} | {
        name: {seed: value + shift + wobble[seed] for seed, value in base.items()} for name, shift in shifts.items()
    }
    values |= {"once": {0: 99.0}, "never": {0: NAN}, "steps": {seed: value + 0.5 for seed, value in base.items()}}
    data = verdicts.against(verdicts.samples(frame_of(values), "configuration", "test_top1"), "base")
    assert data["verdict"].to_dict() == {
        "base": "baseline",
        "up": "better",
        "down": "worse",
        "near": "no significant difference",
        "once": "n < 2: no verdict",
        "never": "n < 2: no verdict",
        "steps": "no spread: no verdict",
    }
    raw = [stats.ttest_rel(list(values[name].values()), list(base.values())).pvalue for name in shifts]
    assert data.loc[list(shifts), "p"].tolist() == pytest.approx(raw)
    assert data.loc[list(shifts), "corrected_p"].tolist() == pytest.approx(closed(raw))
    without = verdicts.against(verdicts.samples(frame_of(values), "configuration", "test_top1"), None)
    assert set(without["verdict"]) <= {"n < 2: no verdict", "no baseline: no verdict"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    disk.finish(root, disk.plan(disk.product(), repeats=5))
    return root


def made(root, study, name="against_baseline", **settings):
    settings = {"baseline": None} | settings if name == "against_baseline" else settings
    return Asked("table", name, name, settings).make(tidy.runs(study, root), study)


def test_the_table_compares_every_configuration_with_the_baseline(root):
    study = disk.plan(repeats=5)
    frame = tidy.runs(study, root)
    found = made(root, study)
    values = frame.groupby("configuration")["test_top1"].apply(list)
    raw = [stats.ttest_rel(values[number], values[0]).pvalue for number in values.index[1:]]
    assert found.data["p"].tolist()[1:] == pytest.approx(raw)
    assert found.data["corrected_p"].tolist()[1:] == pytest.approx(closed(raw))
    assert found.printed["Verdict"][0] == "baseline"
    lenet = found.printed["Verdict"][found.data["model"] == "LeNet"].item()
    mean = found.data["difference"][found.data["model"] == "LeNet"].item()
    assert mean < 0 and lenet == ("worse" if closed(raw)[2 - 1] < 0.05 else "no significant difference")
    assert "Holm" in found.caption and "paired by seed" in found.caption
    assert found.data["difference"].tolist()[1:] == pytest.approx(
        [np.mean(own) - np.mean(values[0]) for own in values[1:]]
    )


def test_another_configuration_may_be_the_baseline(root):
    study = disk.plan(disk.product(), repeats=5)
    found = made(root, study, baseline={"model": "LeNet", "augment": "none"})
    row = found.data[found.data["verdict"] == "baseline"]
    assert row[["model", "augment", "train.optimizer"]].values.tolist() == [["LeNet", "none", "SGD"]]
    with pytest.raises(Mistake, match=r"config/studies/demo.yaml: tables.*model: LeNot") as error:
        made(root, study, baseline={"model": "LeNot"})
    assert "\n" not in str(error.value)


def test_without_a_baseline_the_table_says_so(root):
    found = made(root, disk.plan(disk.product(), repeats=5, baseline=None))
    assert set(found.printed["Verdict"]) == {"no baseline: no verdict"}
    assert "nothing is compared" in found.caption


def test_one_repeat_has_no_verdict_and_nothing_bold(tmp_path):
    study = disk.plan(repeats=1)
    disk.finish(tmp_path, study)
    found = made(tmp_path, study)
    assert set(found.printed["Verdict"][1:]) == {"n < 2: no verdict"}
    for one in (found, made(tmp_path, study, "summary"), made(tmp_path, study, "best", count=3)):
        assert not any(map(any, one.bold.values()))
        assert "**" not in table.markdown(one).replace(one.caption, "")


FORMS = {"md": table.markdown, "tex": partial(table.latex, key="k"), "html": partial(table.page, key="k")}
MARKS = {"md": "**{}**", "tex": r"\textbf{{{}}}", "html": "<strong>{}</strong>"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["against_baseline", "summary", "best", "by_axis"])
def test_every_form_marks_the_first_places_and_nothing_else(root, name, form):
    study = disk.plan(repeats=5)
    frame = tidy.runs(study, root)
    settings = {"best": {"count": 7}, "by_axis": {"axis": "model"}}.get(name, {})
    found = made(root, study, name, **settings)
    ((head, flags),) = found.bold.items()
    assert head == "Test top-1 (%)" and any(flags) and not all(flags)
    assert found.data["test_top1_mean"].idxmax() in found.data.index[np.array(flags)]
    text = FORMS[form](found)
    for cell, flag in zip(found.printed[head], flags, strict=True):
        shown = table.latex_escaped(cell) if form == "tex" else cell
        assert (MARKS[form].format(shown) in text) == flag
    opening = MARKS[form].partition("{}")[0].replace("{{", "{")
    assert text.replace("**{}**", "").count(opening) == sum(flags) * (2 if form == "md" else 1)
    assert len(frame) == 35


def test_hostile_cells_stay_text_where_they_are_bold():
    data = pd.DataFrame({"a": [1.0]})
    made = table.of(data, {"a_b": ["<b>*x*|50% & \\"]}, 0, {"a_b": [True]})
    assert "<strong>&lt;b&gt;*x*|50% &amp; \\</strong>" in table.page(made, "k")
    assert r"**\<b\>\*x\*\|50% & \\**" in table.markdown(made)
    assert r"\textbf{\textless{}b\textgreater{}*x*|50\% \& \textbackslash{}}" in table.latex(made, "k")


def test_by_axis_is_judged_only_against_the_baseline(root):
    study = disk.plan(disk.product(), repeats=5)
    found = made(root, study, "by_axis", axis="model")
    column = found.printed["Against the baseline"].tolist()
    assert column[0] == "baseline" and set(column[1:]) <= {"better", "worse", "no significant difference"}
    assert found.data["verdict"].tolist() == column
    marginal = made(root, disk.plan(disk.product(), repeats=5, baseline=None), "by_axis", axis="model")
    assert "Against the baseline" not in marginal.printed and not marginal.bold
    assert "Bold" not in marginal.caption


STUDY = """title: a study
dataset: digits
model: resnet
grid:
  - product: {augment: {none: [], flip: [horizontal_flip]}}
  - product: {train.epochs: [4, 8]}
tables:
"""


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("{augmnt: flip}", "unknown axis 'augmnt'; did you mean 'augment'?"),
        ("{augment: flop}", "unknown label of augment 'flop'; did you mean 'flip'?"),
        ("{augment: flip, train.epochs: '8'}", "no point of the grid has the labels augment: flip, train.epochs: 8"),
        ("{train.epochs: 8}", "found 8, expected a text"),
    ],
)
def test_a_baseline_that_is_none_is_told_before_any_job(tmp_path, baseline, message):
    (tmp_path / "s.yaml").write_text(f"{STUDY}  - {{name: against_baseline, baseline: {baseline}}}\n")
    with pytest.raises(StudyError) as error:
        build(["s"], tmp_path)
    (problem,) = error.value.problems
    assert message in problem.message and problem.place.endswith("s.yaml:8")
    assert problem.key.startswith("tables.0.baseline")


def test_a_named_baseline_gives_its_files_a_readable_name(tmp_path):
    named = "{name: against_baseline, baseline: {augment: flip}}"
    (tmp_path / "s.yaml").write_text(f"{STUDY}  - against_baseline\n  - {named}\n")
    study = manifest(build(["s"], tmp_path).studies["s"])
    assert [item.key for item in asked(study, "table")] == ["against_baseline", "against_baseline-augment-flip"]
    assert "compared with the configuration with augment flip" in asked(study, "table")[1].caption(study)


@pytest.mark.parametrize(
    ("value", "text"), [(0.424, "+0.42"), (-0.424, "−0.42"), (-0.001, "0.00"), (0.0, "0.00"), (NAN, "–")]
)
def test_signs(value, text):
    assert numbers.signed(value) == text


@pytest.mark.parametrize(("p", "text"), [(0.0342, "0.034"), (1.0, "1.000"), (0.0004, "< 0.001"), (NAN, "–")])
def test_printed_p(p, text):
    assert numbers.p_value(p) == text
