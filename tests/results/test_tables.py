import csv
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from espalier.results import study_outputs
from espalier.results.format import latex, numbers, table_files
from espalier.results.read import tidy
from espalier.results.study_outputs import StudyOutput, captions, outputs_of
from espalier.settings.registry import Entry
from support import study_on_disk as disk
from support.pooled_intervals import intervals

HOSTILE = "<script>alert(1)</script> & 50% $x_1$ | *b* {c} \\d ~ ^ #"


def made(root, name, study=None, **settings):
    study = study or disk.plan()
    return StudyOutput("table", name, name, settings).make(tidy.runs(study, root), study)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    disk.finish(root, disk.plan(disk.product()))
    return root


def test_summary_has_the_estimates_of_every_configuration(root):
    study = disk.plan()
    frame = tidy.runs(study, root)
    found = made(root, "summary")
    assert len(found.data) == 7
    ends = intervals(frame.groupby("configuration")["test_top1"].apply(list))
    for number, row in enumerate(found.data.to_dict("records")):
        values = frame[frame["configuration"] == number]
        assert {axis: row[axis] for axis in study["axes"]} == study["points"][3 * number]["labels"]
        expected = [3, values["test_top1"].mean(), values["test_top1"].std(), *ends[number]]
        got = [row[f"test_top1_{part}"] for part in ("n", "mean", "sd", "low", "high")]
        assert got == pytest.approx(expected, rel=1e-12)
        assert row["validation_top1_mean"] == pytest.approx(values["validation_top1"].mean())
        assert (row["params"], row["macs"]) == disk.AXES["model"][row["model"]]
        assert row["train_wall_s_mean"] == pytest.approx(values["train_wall_s"].mean())
    first = found.data.iloc[0]
    assert found.printed["Test top-1 (%)"][0] == f"{first['test_top1_mean']:.2f} ± {first['test_top1_sd']:.2f}"
    assert found.printed["95 % interval (%)"][0] == f"{first['test_top1_low']:.2f} to {first['test_top1_high']:.2f}"
    assert found.printed["Params (k)"].tolist()[:3] == ["19.8", "77.8", "31.3"]


def test_by_axis_compares_with_the_baseline_in_everything_else(root):
    study = disk.plan(disk.product())
    frame = tidy.runs(study, root)
    found = made(root, "by_axis", study, axis="model")
    alone = frame[(frame["label.augment"] == "crop") & (frame["label.train.optimizer"] == "SGD")]
    assert found.data["model"].tolist() == list(disk.AXES["model"])
    for label, mean, n in found.data[["model", "test_top1_mean", "test_top1_n"]].itertuples(index=False):
        own = alone.loc[alone["label.model"] == label, "test_top1"]
        assert (mean, n) == (pytest.approx(own.mean()), 3)
    assert "as in the baseline" in found.caption.whole()


def test_by_axis_without_a_baseline_takes_all_points_and_says_so(root):
    study = disk.plan(disk.product(), baseline=None)
    frame = tidy.runs(study, root)
    found = made(root, "by_axis", study, axis="augment")
    means = frame.groupby("label.augment", sort=False)["test_top1"].mean()
    assert found.data["test_top1_mean"].tolist() == pytest.approx(means.tolist())
    # Nine configurations of three seeds are three values.
    assert found.data["test_top1_n"].tolist() == [3, 3, 3]
    seeds = frame.groupby(["label.augment", "seed"], sort=False)["test_top1"].mean()
    assert found.data["test_top1_sd"].tolist() == pytest.approx(seeds.groupby(level=0, sort=False).std().tolist())
    assert "n counts seeds" in found.caption.whole()
    # Networks of different size share a row: it has no parameter count.
    assert found.data["params"].isna().all()
    assert "everything else" in found.caption.whole()


def test_best_is_chosen_on_validation_never_on_test(tmp_path):
    study = disk.plan()
    disk.finish(tmp_path, study)
    frame = tidy.runs(study, tmp_path)
    frame["test_top1"] = -frame["validation_top1"]
    found = StudyOutput("table", "best", "best", {"count": 2}).make(frame, study)
    order = frame.groupby("configuration")["validation_top1"].mean().nlargest(2)
    assert found.data["validation_top1_mean"].tolist() == pytest.approx(order.tolist())


def test_one_repeat_prints_no_spread_and_no_interval(tmp_path):
    study = disk.plan(repeats=1)
    disk.finish(tmp_path, study)
    found = made(tmp_path, "summary", study)
    assert not any("±" in cell for cell in found.printed["Test top-1 (%)"])
    assert "95 % interval (%)" not in found.printed and "–" not in found.caption.notes
    assert found.data[["test_top1_sd", "test_top1_low", "test_top1_high"]].isna().all(axis=None)


def test_a_study_without_evaluation_shows_validation_and_says_it_is_optimistic(tmp_path):
    study = disk.plan()
    disk.finish(tmp_path, study)
    for point in study["points"]:
        study["runs"].pop(point["runs"].pop("evaluate"))
    found = made(tmp_path, "summary", study)
    assert not [head for head in found.printed if "Test" in head]
    assert "optimistic" in found.caption.whole()
    assert found.data["validation_top1_n"].tolist() == [3] * 7


@pytest.mark.parametrize("name", sorted(disk.of_training("table")))
def test_every_table_stands_without_a_single_run(tmp_path, name):
    settings = dict.fromkeys(disk.required("table", name), "model") | ({"count": 3} if name == "best" else {})
    found = made(tmp_path, name, **settings)
    table_files.write(tmp_path, name, found)
    assert {path.suffix for path in tmp_path.glob(f"{name}.*")} == {".csv", ".md", ".tex", ".html"}
    shows_accuracy = any("top-1" in head for head in found.printed.columns)
    assert found.caption.whole() and ("validation split" in found.caption.whole() or not shows_accuracy)


class Cells(HTMLParser):
    """Texts of all cells of a page, and every tag."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.tags[-1:] and self.tags[-1] in ("td", "th"):
            self.cells[-1] += data


def test_hostile_labels_are_text_in_every_form(tmp_path):
    study = disk.plan([dict(disk.BASELINE), dict(disk.BASELINE) | {"model": HOSTILE}])
    found = made(tmp_path, "summary", study)
    assert next(csv.reader(io.StringIO(table_files.csv(found).splitlines()[2])))[0] == HOSTILE
    html = Cells(table_files.page(found))
    assert "script" not in html.tags
    assert HOSTILE in [cell.strip() for cell in html.cells]
    row = table_files.markdown(found).splitlines()[3]
    assert "<script>" not in row.replace(r"\<script\>", "")
    assert len(re.findall(r"(?<!\\)\|", row)) == len(found.printed.columns) + 1
    line = next(line for line in latex.latex(found, "summary").splitlines() if "alert" in line)
    assert not re.search(r"(?<!\\)[%$#_]", line)
    assert len(re.findall(r"(?<!\\)&", line)) == len(found.printed.columns) - 1


def test_latex_is_booktabs_with_balanced_braces(root):
    found = made(root, "summary")
    text = latex.latex(found, "summary")
    parts = text.count(r"\begin{tabular}")
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}\n") == parts > 1
    assert text.count("{") == text.count("}")
    assert r"98." in text and r"\pm" in text and "±" not in text
    assert text.count("ResNet 16-32-64 &") == parts, "every part names its rows"
    assert {*re.findall(r"label{(.*?)}", text)} == {"tab:summary", *(f"tab:summary-{n}" for n in range(2, parts + 1))}


def test_markdown_columns_agree(root):
    lines = table_files.markdown(made(root, "summary")).splitlines()[:9]
    assert len({line.count("|") for line in lines}) == 1
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("values", "printed"),
    [
        ((98.614, 0.277), "98.61 ± 0.28"),
        ((98.614, float("nan")), "98.61"),
        ((float("nan"), float("nan")), "–"),
        ((-14.263, 1.4), "−14.26 ± 1.40"),
        ((-0.001, 0.5), "0.00 ± 0.50"),
    ],
)
def test_printed_numbers(values, printed):
    assert numbers.spread(*values) == printed


def test_differences_bear_a_sign():
    assert numbers.change(-0.093, 0.58) == "−0.09 ± 0.58" and numbers.change(0.65, float("nan")) == "+0.65"
    assert numbers.between(-0.2, 1.2, signs=True) == "−0.20 to +1.20" and numbers.between(-0.2, 1.2) == "−0.20 to 1.20"


@pytest.mark.parametrize(
    ("values", "head", "cells"),
    [
        ([912.0, 85_904.0], "File (kB)", ["0.91", "85.9"]),
        ([8_600.0, 44_123_456.0, float("nan")], "File (kB)", ["8.6", "44,123.5", "–"]),
        ([1_200_000.0, 44_123_456.0], "File (MB)", ["1.2", "44.1"]),
        ([float("nan")], "File (kB)", ["–"]),
    ],
)
def test_sizes_have_one_unit_a_column(values, head, cells):
    assert numbers.sizes("File", values) == (head, cells)


def test_no_printed_number_has_a_hyphen_for_a_minus(tmp_path):
    study = disk.pruned(disk.plan())
    disk.finish(tmp_path, study)
    for name in ("pruning", "against_baseline", "summary"):
        printed = made(tmp_path, name, study).printed.astype(str).to_numpy().ravel()
        assert not [cell for cell in printed if re.search(r"-\d", cell) and not re.search(r"[A-Za-z]", cell)], name


def test_a_top5_that_is_always_100_is_left_out(root):
    frame = tidy.runs(disk.plan(), root)
    item = StudyOutput("table", "summary", "summary", {})
    assert "Test top-5 (%)" in item.make(frame.assign(test_top5=frame["test_top1"]), disk.plan()).printed
    assert "Test top-5 (%)" not in item.make(frame.assign(test_top5=100.0), disk.plan()).printed


def test_units_suit_the_column():
    assert numbers.count_unit([950.0, 12.0]) == (1.0, "")
    assert numbers.count_unit([5.2e6, 1e3, float("nan")]) == (1e6, "M")
    assert numbers.time_unit([30.0, 100.0]) == (1.0, "s")
    assert numbers.time_unit([30.0, 9000.0]) == (3600.0, "h")
    assert numbers.scaled(950.0, 1.0, whole=True) == "950"
    assert numbers.scaled(5.2e6, 1e6, whole=True) == "5.2"
    assert numbers.scaled(49_792, 1e6, whole=True) == "0.05"
    assert numbers.scaled(0, 1e6, whole=True) == "0.0"


def test_captions_need_the_plan_alone_and_no_heavy_import(tmp_path):
    study = disk.plan()
    plan = disk.write_plan(tmp_path, study)
    program = (
        "import json, sys\n"
        "from espalier.results.study_outputs import captions; from espalier.results.read.planned_study import read\n"
        f"study = read({str(plan)!r}); found = {{}}\n"
        "for k in ('table', 'figure'): found[k] = {key: said.whole() for key, said in captions(study, k).items()}\n"
        "print(json.dumps([found, sorted({'pandas', 'matplotlib', 'torch', 'numpy'} & set(sys.modules))]))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    found, heavy = json.loads(out)
    assert not heavy
    assert found["table"] == {key: said.whole() for key, said in captions(study, "table").items()}
    assert list(found["figure"]) == [item.key for item in outputs_of(study, "figure")]


def test_a_caption_is_made_of_the_docstring_where_none_is_written(monkeypatch):
    entry = Entry(
        "table", "longest", "", "The longest\nruns.\n\nArgs:\n    count: rows\n", {}, {"count": ("Count", 5, "")}
    )
    monkeypatch.setattr(study_outputs, "entries", lambda kind: {"longest": entry})
    assert StudyOutput("table", "k", "longest", {"count": 3}).caption({}).whole() == "The longest runs. With count 3."
    assert StudyOutput("table", "k", "longest", {}).caption({}).whole() == "The longest runs. With count 5."


def test_no_text_is_a_formula_in_a_spreadsheet():
    texts = ["=1+1", "+1", "-2", "@x", "-cmd", "a", "", "\u2013"]
    found = table_files.harmless(pd.DataFrame({"label": texts, "value": range(-3, 5), "share": np.linspace(-1, 1, 8)}))
    assert found["label"].tolist() == ["'=1+1", "+1", "-2", "'@x", "'-cmd", "a", "", "\u2013"]
    assert found["value"].tolist() == [*range(-3, 5)] and found["share"].min() == -1
