"""Differences from a baseline, their correction, and what is said and shown of them."""

import itertools
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from espalier.errors import Mistake
from espalier.metrics import correct
from espalier.plan.build import build
from espalier.plan.manifest import manifest
from espalier.results.compare import verdicts
from espalier.results.compare.samples import samples
from espalier.results.compare.significance import holm
from espalier.results.format import latex, numbers, table, table_files
from espalier.results.read import tidy
from espalier.results.study_outputs import StudyOutput, outputs_of
from espalier.settings.problems import StudyError
from support import study_on_disk as disk
from support.pooled_intervals import logits, percents
from support.sealed import reseal

NAN = float("nan")
TOLD = ("better", "worse", "equivalent", "not resolved")


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


def sampled(values, images=360):
    """Samples of groups, name → seed → accuracy in percent."""
    rows = [(name, seed, value, images) for name, own in values.items() for seed, value in own.items()]
    frame = pd.DataFrame(rows, columns=["configuration", "seed", "test_top1", "images"])
    return samples(frame, "configuration", "test_top1")


@pytest.mark.parametrize("rows", [2, 5, 12])
def test_equal_rows_seldom_lose_the_first_place(rows):
    generator = np.random.default_rng(rows)
    draws = percents(generator.normal(3.3, 0.3, (300, rows, 4)))
    wrong = [
        any(verdicts.first_places(sampled({k: dict(enumerate(v)) for k, v in enumerate(one)})).values())
        for one in draws
    ]
    # Marks are given only where one is worse. 5 % and two standard errors.
    assert np.mean(wrong) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def test_the_best_shares_its_place_with_what_is_not_worse():
    best = {0: 99.0, 1: 99.2, 2: 98.8, 3: 99.1}
    same = {0: 98.7, 1: 99.4, 2: 98.5, 3: 99.3}
    worse = {0: 90.0, 1: 90.9, 2: 89.1, 3: 90.0}
    found = verdicts.first_places(sampled({"worse": worse, "best": best, "same": same, "one": {0: 99.9}}))
    assert found == {"worse": False, "best": True, "same": True, "one": False}
    # All alike, or nothing to compare with: no mark.
    assert not any(verdicts.first_places(sampled({"best": best, "same": same})).values())
    assert not any(verdicts.first_places(sampled({"best": best, "one": {0: 10.0}})).values())


WOBBLE = (0.1, -0.1, 0.05, -0.05, 0.02)


def shifted(middle, wobble=WOBBLE):
    """Accuracies around one in percent, a little apart in logits."""
    return dict(enumerate(percents(logits(middle, 10_000) + np.array(wobble), 10_000)))


def test_verdicts_are_those_of_dunnett_on_logits():
    shifts = {"up": 97.5, "down": 90.0, "near": 95.02, "open": 95.3}
    values = {"base": shifted(95)} | {name: shifted(top1, np.roll(WOBBLE, 1)) for name, top1 in shifts.items()}
    found = sampled(values, 10_000)
    data = verdicts.against(found, "base", 0.5)
    assert data["verdict"].str.partition(":")[0].to_dict() == {
        "base": "baseline",
        "up": "better",
        "down": "worse",
        "near": "not resolved",
        "open": "not resolved",
    }
    groups = [logits(list(own.values()), 10_000) for own in values.values()]
    expected = stats.dunnett(*groups[1:], control=groups[0], rng=np.random.default_rng(0))
    assert data["p"].tolist()[1:] == pytest.approx(expected.pvalue, abs=1e-3)
    # A wider margin makes the near one equivalent, and never one that is significantly different.
    wide = verdicts.against(found, "base", 3.0)["verdict"]
    assert (wide["near"], wide["up"], wide["down"]) == ("equivalent", "better", "worse")
    assert data["repeats"].between(6, 1000).to_dict() == dict.fromkeys(values, False) | {"near": True, "open": True}


def test_a_large_difference_is_told_though_its_points_spread():
    """The pruned network of the demo: −16.57 points read "no significant difference" by a t-test paired by seed."""
    base = {0: 97.5, 1: 96.94, 2: 97.78}
    pruned = {0: 84.17, 1: 76.94, 2: 81.39}
    others = {name: {0: 97.2 + k / 10, 1: 97.8, 2: 96.9} for k, name in enumerate("abcd")}
    data = verdicts.against(sampled({"base": base, "pruned": pruned} | others), "base", 0.5)
    assert data.loc["pruned", "verdict"] == "worse"
    assert data.loc["pruned", "p"] < 0.001
    assert stats.ttest_rel(list(pruned.values()), list(base.values())).pvalue * 5 > 0.05


def test_what_cannot_be_judged_says_why():
    base = shifted(95)
    found = sampled({"base": base, "once": {0: 99.0}, "never": {0: NAN}, "same": base})
    words = verdicts.against(found, "base", 0.5)["verdict"]
    assert (words["once"], words["never"]) == ("n < 2: no verdict", "n < 2: no verdict")
    without = verdicts.against(found, None, 0.5)
    assert set(without["verdict"]) == {"n < 2: no verdict", "no baseline: no verdict"}
    assert without["p"].isna().all()
    # All differences are steps of the scale: nothing spreads.
    flat = sampled({"base": dict.fromkeys(range(3), 95.0), "steps": dict.fromkeys(range(3), 95.5)})
    assert verdicts.against(flat, "base", 0.5)["verdict"]["steps"] == "no spread: no verdict"


def test_spreads_that_differ_are_not_shared():
    """Where Brown and Forsythe's test refuses equal spreads: Welch's tests on logits, corrected after Holm."""
    generator = np.random.default_rng(0)
    values = {"base": generator.normal(3, 0.02, 10), "up": generator.normal(3.2, 0.02, 10)}
    values |= {"wild": generator.normal(3, 1.0, 10), "same": generator.normal(3, 0.02, 10)}
    found = sampled({name: dict(enumerate(percents(own))) for name, own in values.items()})
    assert stats.levene(*values.values(), center="median").pvalue < 0.05 and not found.spread.equal
    data = verdicts.against(found, "base", 0.5)
    raw = [stats.ttest_ind(own, values["base"], equal_var=False).pvalue for own in list(values.values())[1:]]
    assert data["p"].tolist()[1:] == pytest.approx(closed(raw), rel=1e-6)
    assert data["verdict"].str.partition(":")[0].tolist() == ["baseline", "better", "not resolved", "equivalent"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    disk.finish(root, disk.plan(disk.product(), repeats=5))
    return root


def made(root, study, name="against_baseline", **settings):
    settings = {"baseline": None} | settings if name == "against_baseline" else settings
    return StudyOutput("table", name, name, settings).make(tidy.runs(study, root), study)


def test_the_table_compares_every_configuration_with_the_baseline(root):
    study = disk.plan(repeats=5)
    frame = tidy.runs(study, root)
    found = made(root, study)
    values = frame.groupby("configuration")["test_top1"].apply(list)
    expected = stats.dunnett(*map(logits, values[1:]), control=logits(values[0]), rng=np.random.default_rng(0))
    assert found.data["p"].tolist()[1:] == pytest.approx(expected.pvalue, abs=1e-3)
    assert found.data["difference"].tolist()[1:] == pytest.approx(
        [np.mean(own) - np.mean(values[0]) for own in values[1:]]
    )
    assert found.printed["Verdict"][0] == "baseline"
    assert all(word.startswith(TOLD) for word in found.printed["Verdict"][1:])
    assert found.printed["Verdict"][found.data["model"] == "LeNet"].item() == "worse"
    for row in found.data.iloc[1:].to_dict("records"):
        assert row["low"] < row["difference"] < row["high"]
        # An interval holds zero where, and only where, there is no verdict of a difference.
        assert (row["low"] > 0 or row["high"] < 0) == (row["verdict"] in ("better", "worse"))
    assert "Dunnett" in found.caption.whole() and "within 0.5 points" in found.caption.whole()
    assert "within 3 points" in made(root, study, margin=3.0).caption.whole()


def test_the_interval_over_test_images_is_paired_image_by_image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = disk.plan(repeats=1)
    disk.finish(tmp_path, study)
    generator = np.random.default_rng(0)
    right = {}
    for point in study["points"]:
        folder = tmp_path / study["runs"][point["runs"]["evaluate"]]["path"]
        own = right[len(right)] = generator.random(360) < 0.95
        (folder / correct.FILE).write_bytes(correct.packed(own))
        reseal(folder)
    found = made(tmp_path, study)
    for place, row in enumerate(found.data.to_dict("records")[1:], 1):
        apart = 100 * (right[place].astype(float) - right[0])
        error = apart.std() / math.sqrt(360)
        # Wald's interval, but for the images that are added.
        assert row["images_low"] == pytest.approx(apart.mean() - 1.96 * error, abs=0.1)
        assert row["images_high"] == pytest.approx(apart.mean() + 1.96 * error, abs=0.1)
        # A single repeat has this interval alone.
        assert row["verdict"] == "n < 2: no verdict" and math.isnan(row["low"])
    head = "Test images, 95 % (points)"
    assert head in found.printed and head not in made(tmp_path, study | {"tables": []}, "summary").printed
    assert "images_low" in made(tmp_path, study, "by_axis", axis="model").data


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
    assert "nothing is compared" in found.caption.whole()


def test_one_repeat_has_no_verdict_and_nothing_bold(tmp_path):
    study = disk.plan(repeats=1)
    disk.finish(tmp_path, study)
    found = made(tmp_path, study)
    assert set(found.printed["Verdict"][1:]) == {"n < 2: no verdict"}
    for one in (found, made(tmp_path, study, "summary"), made(tmp_path, study, "best", count=3)):
        assert not any(map(any, one.bold.values()))
        assert "**" not in table_files.markdown(one).replace(one.caption.short(), "")


FORMS = {"md": table_files.markdown, "tex": partial(latex.latex, key="k"), "html": table_files.page}
MARKS = {"md": "**{}**", "tex": r"\bfseries {}", "html": "<strong>{}</strong>"}


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
        shown = cell.replace("±", r"\pm") if form == "tex" else cell
        assert (MARKS[form].format(shown) in text) == flag
    opening = MARKS[form].partition("{}")[0]
    assert text.replace("**{}**", "").count(opening) == sum(flags) * (2 if form == "md" else 1)
    assert len(frame) == 35


def test_hostile_cells_stay_text_where_they_are_bold():
    data = pd.DataFrame({"a": [1.0]})
    made = table.table_of(data, {"a_b": ["<b>*x*|50% & \\"]}, 0, {"a_b": [True]})
    assert "<strong>&lt;b&gt;*x*|50% &amp; \\</strong>" in table_files.page(made)
    assert r"**\<b\>\*x\*\|50% & \\**" in table_files.markdown(made)
    assert r"\textbf{\textless{}b\textgreater{}*x*|50\% \& \textbackslash{}}" in latex.latex(made, "k")


def test_by_axis_is_judged_only_against_the_baseline(root):
    study = disk.plan(disk.product(), repeats=5)
    found = made(root, study, "by_axis", axis="model")
    column = found.printed["Against the baseline"].tolist()
    assert column[0] == "baseline" and all(word.startswith(TOLD) for word in column[1:])
    assert found.data["verdict"].tolist() == column
    marginal = made(root, disk.plan(disk.product(), repeats=5, baseline=None), "by_axis", axis="model")
    assert "Against the baseline" not in marginal.printed and not marginal.bold
    assert "Bold" not in marginal.caption.whole() and "n counts seeds" in marginal.caption.whole()
    # All configurations share one spread, so that a row has the same interval in every table.
    whole = made(root, study, "summary").data.set_index(list(disk.AXES))
    for label, row in found.data.set_index("model").iterrows():
        assert row["test_top1_low"] == whole.loc[(label, "crop", "SGD"), "test_top1_low"]


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
    assert [item.key for item in outputs_of(study, "table")] == ["against_baseline", "against_baseline-augment-flip"]
    assert "compared with the configuration with augment flip" in outputs_of(study, "table")[1].caption(study).whole()


@pytest.mark.parametrize(
    ("value", "text"), [(0.424, "+0.42"), (-0.424, "−0.42"), (-0.001, "0.00"), (0.0, "0.00"), (NAN, "–")]
)
def test_signs(value, text):
    assert numbers.signed(value) == text


@pytest.mark.parametrize(("p", "text"), [(0.0342, "0.034"), (1.0, "1.000"), (0.0004, "< 0.001"), (NAN, "–")])
def test_printed_p(p, text):
    assert numbers.p_value(p) == text
