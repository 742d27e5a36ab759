"""Captions, headings, figures and pages say where the epoch is chosen, and mark what is optimistic."""

import re

import pytest
from matplotlib.text import Text

from espalier.results.format import table_files
from espalier.results.format.marks import names
from espalier.results.page import status_table, study_page
from espalier.results.page.charts import lines
from espalier.results.page.leaderboard import leaderboard
from espalier.results.read import tidy
from espalier.results.study_outputs import StudyOutput, outputs_of
from espalier.settings.registry import entries
from support import compressed_on_disk as compressed
from support import study_on_disk as disk

FALSE = ("split is scored once", "chosen on the validation split", "test split has no part", "no say in the order")
"""What no caption may say of a study whose epochs are chosen on the test split."""


def data_sets(study):
    return [run for run in study["runs"].values() if run["stage"] == "prepare"]


def of_both(**baseline):
    """A plan of two networks under both protocols."""
    labels = [
        dict(disk.BASELINE) | {"model": model, "protocol": protocol}
        for model in ("ResNet 8-16-32", "LeNet")
        for protocol in ("clean", "published")
    ]
    study = disk.plan(labels, repeats=2)
    (data,) = data_sets(study)
    other = data | {"path": data["path"].replace("digits-", "digits-a"), "settings": {"protocol": "published"}}
    study["runs"]["other"] = other
    for point in study["points"]:
        if point["labels"]["protocol"] == "published":
            point["runs"]["prepare"] = "other"
            study["runs"][point["runs"]["train"]]["parent"] = "other"
    return study | {
        "axes": [*study["axes"], "protocol"],
        "baseline": dict(disk.BASELINE) | {"protocol": "clean"} | baseline,
        "figures": [
            *({"key": f"by-{axis}", "name": "by_axis", "axis": axis} for axis in ("model", "protocol")),
            {"key": "curves", "name": "curves", "axis": "protocol"},
            {"key": "tradeoff", "name": "tradeoff", "x": "params"},
            {"key": "tuning", "name": "tuning"},
        ],
    }


@pytest.fixture
def both(tmp_path, monkeypatch, styled):
    monkeypatch.chdir(tmp_path)
    study = of_both()
    disk.finish(tmp_path, study)
    return study


@pytest.fixture
def coded(tmp_path, monkeypatch, styled):
    """A study of every stage, all of it under published."""
    monkeypatch.chdir(tmp_path)
    study = compressed.plan(ways=("calibrated", "plain"))
    compressed.finish(tmp_path, study)
    return under(study)


def under(study, protocol="published"):
    for data in data_sets(study):
        data["settings"] |= {"protocol": protocol}
    return study


def items(kind):
    """Every table or figure that reads the study alone."""
    found = []
    for name, entry in entries(kind).items():
        needs = disk.required(kind, name)
        settings = dict.fromkeys(needs, "prune") | (entry.load().__kwdefaults__ or {})
        if needs <= {"axis"} and not {"reads", "axis"} & entry.facts.keys():
            found.append(StudyOutput(kind, name, name, settings))
    return found


def made(study, kind):
    """All of them, by name."""
    frame = tidy.runs(study)
    arguments = (frame, study) if kind == "table" else (frame, tidy.history(study), study)
    return {item.name: item.make(*arguments) for item in items(kind)}


def words_of(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("kind", ["table", "figure"])
def test_no_caption_of_published_says_what_holds_for_clean_alone(coded, kind):
    found = {item.name: item.caption(coded).whole() for item in items(kind)}
    assert len(found) >= 11
    for name, caption in found.items():
        assert not any(words in caption for words in FALSE), (name, caption)
        assert "* Protocol published: best epoch on the test split: optimistic." in caption
    under(coded, "clean")
    clean = " ".join(item.caption(coded).whole() for item in items(kind))
    assert "chosen on the validation split" in clean and "test split, so that" not in clean and "*" not in clean


def test_every_column_of_accuracies_bears_the_mark_also_where_its_heading_does_not_name_them(coded):
    found = made(coded, "table")
    for name in ("bit_grid", "rounding"):
        heads = list(found[name].printed)
        assert [head for head in heads if head.endswith(" *")] == [
            head for head in heads if head.startswith(("Float", "Activations ", "Plain", "Comp")) and "(%)" in head
        ]
    for name in ("summary", "accounting", "pruning", "equal_size", "bit_grid", "rounding"):
        one = found[name]
        assert any(head.endswith(" *") for head in one.printed) and set(one.data["protocol"]) <= {"published"}
        assert "protocol" in table_files.csv(one).splitlines()[0]
    assert not any(head.endswith(" *") for name in ("size_ladder", "layers") for head in found[name].printed)


def test_bold_stays_under_a_marked_heading(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = under(disk.plan(repeats=5))
    disk.finish(tmp_path, study)
    one = next(item for item in outputs_of(study, "table") if item.name == "summary").make(tidy.runs(study), study)
    shown = table_files.markdown(one).splitlines()
    assert "Test top-1 (%) *" in shown[0].replace("\\", "") and any("**" in line for line in shown[2:-1])


def test_a_figure_bears_the_mark_and_what_it_means(coded):
    found = made(coded, "figure")
    for name in ("bit_grid", "by_axis", "compression", "tradeoff", "tuning"):
        words = words_of(found[name])
        heads = [word for word in words if re.search(r"top-1\s*\(%\)", word, re.IGNORECASE)]
        assert heads and all(head.endswith(" *") for head in heads), (name, words)
        assert any("* Protocol published: best epoch on the test split: optimistic." in word for word in words), name
    assert not any("optimistic" in word for word in words_of(found["size_anatomy"]))
    assert not any("*" in word for one in made(under(coded, "clean"), "figure").values() for word in words_of(one))


def test_where_both_protocols_are_the_rows_and_points_of_one_bear_the_mark(both, tmp_path):
    frame, history = tidy.runs(both), tidy.history(both)
    for item in outputs_of(both, "table"):
        one = item.make(frame, both)
        assert "* Where the protocol is published: best epoch on the test split: optimistic." in one.caption.whole()
        assert "Under the protocol clean, the epoch is chosen on the validation split" in one.caption.whole()
        assert not any(head.endswith(" *") for head in one.printed)
        if "Protocol" in one.printed:
            assert set(one.printed["Protocol"]) == {"clean", "published *"}
    drawn = {item.key: words_of(item.make(frame, history, both)) for item in outputs_of(both, "figure")}
    for key, marks in (
        ("by-protocol", {"published *"}),
        ("curves", {"published *"}),
        ("tradeoff", {"protocol published *", "LeNet, published *"}),
        ("tuning", {"ResNet 8-16-32 · published *", "LeNet · published *"}),
    ):
        marked = {word for word in drawn[key] if word.endswith(" *")}
        assert marked == marks or (key == "tradeoff" and marked and all("published" in word for word in marked)), key
        assert any("* Where the protocol is published" in word for word in drawn[key])
    assert not any(word.endswith(" *") for word in drawn["by-model"])
    # The baseline's one value of the augmentation is no comparison: a mean over all, of which half are optimistic.
    captions = {item.key: item.caption(both).whole() for item in outputs_of(both, "table")}
    assert "varies, both protocols among it: in part optimistic" in captions["by_axis-augment"]
    assert "Accuracy by model, all else as in the baseline." in captions["by_axis-model"]
    assert "Under the protocol clean" in captions["by_axis-model"]
    assert [name.endswith(" *") for name in names(both).values()] == [False, True, False, True]


def test_a_baseline_that_is_optimistic_says_so(tmp_path):
    study = of_both(protocol="published")
    assert names(study)[1] == "baseline *"
    caption = next(item.caption(study).whole() for item in outputs_of(study, "figure"))
    assert "* Where the protocol is published, as in the baseline: best epoch on the test split" in caption


def test_the_status_marks_its_best_top1(coded, both):
    for study in (coded, both):
        lines = status_table.text(study).splitlines()
        assert lines[0].endswith("  best top-1 *") and len(lines[1]) == len(lines[0])
        assert any("published: best epoch on the test split: optimistic." in line for line in lines)
    assert "*" not in status_table.text(under(coded, "clean"))


def test_leaderboard_charts_and_pages_are_marked(coded, tmp_path):
    frame, plan = tidy.runs(coded), disk.write_plan(tmp_path, coded)
    heads = [column.head for column in leaderboard(frame, coded).columns]
    assert [head for head in heads if head.endswith(" *")] == ["Validation top-1 (%) *", "Test top-1 (%) *"]
    plots = [lines.of_grid(frame, coded), *lines.of_widths(frame, coded)]
    assert all(plot.axes[-1].head == "Test top-1 (%) *" for plot in plots)
    study_page.write(tmp_path / "index.html", plan, coded, frame, tidy.states(coded))
    for name in ("index.html", "explore.html"):
        text = (tmp_path / name).read_text()
        assert "<strong>* Protocol published: best epoch on the test split: optimistic." in text
        assert "a setting that is chosen by it is optimistic" in text
        assert "Settings are to be chosen on the validation split" not in text
    assert '"title":"Test top-1 (%) *"' in (tmp_path / "explore.html").read_text().replace('": "', '":"')
