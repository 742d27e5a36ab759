"""A study that shows the points of others side by side."""

import pytest

from espalier.plan.build import build
from espalier.plan.configured_plan import plan_comparison
from espalier.plan.manifest import manifest
from espalier.results.read.planned_study import short_names
from espalier.results.study_folder import make
from espalier.settings.problems import StudyError

BASE = "title: t\ndataset: digits\nmodel: resnet\ntrain: {epochs: 2}\nrepeats: 2\n"
STUDIES = {
    "a": BASE + "grid: {product: {model: {wide: {name: resnet, channels: [32, 64, 128]}, narrow: resnet}}}\n",
    "b": BASE + "grid: {product: {train.optimizer: {SGD: sgd, Adam: adam}}}\n",
    "c": BASE.replace("repeats: 2", "repeats: 3") + "augment: [horizontal_flip]\n",
    "elsewhere": BASE.replace("dataset: digits", "dataset: {name: digits, validation: 0.3}"),
    "other_words": BASE + "grid: {product: {model: {wide: lenet, narrow: resnet}}}\n",
    "circle": "title: t\ncompare: [a, circle]\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    there = tmp_path / "config/studies"
    there.mkdir(parents=True)
    for name, text in STUDIES.items():
        (there / f"{name}.yaml").write_text(text)
    (tmp_path / "config/config.yaml").write_text("studies: a\n")
    monkeypatch.chdir(tmp_path)
    return there


def planned(folder, *lines):
    (folder / "both.yaml").write_text("\n".join(["title: both", *lines]) + "\n")
    return build(["both"], folder)


def test_points_stand_side_by_side_each_once_with_a_label_on_every_axis(folder):
    plan = planned(folder, "compare: [a, b]", "tables: [summary, {name: by_axis, axis: study}]")
    study = plan.studies["both"]
    assert study.axes == ("study", "model", "train.optimizer")
    labels = [tuple(point.labels.values()) for point in study.points[::2]]
    # The narrow network by SGD is in both studies, and is the first one's.
    assert labels == [("a", "wide", "SGD"), ("a", "narrow", "SGD"), ("b", "narrow", "Adam")]
    assert study.baseline == {"study": "a", "model": "narrow", "train.optimizer": "SGD"}
    assert set(study.runs) == set(build(["a"], folder).studies["a"].runs) | set(build(["b"], folder).studies["b"].runs)
    assert [*short_names(manifest(study)).values()] == ["wide", "baseline", "b, Adam"]
    assert "study both: 6 chains of a, b" in plan.summary()


def test_repeats_are_those_of_the_study_with_most(folder):
    found = planned(folder, "compare: [a, c]").studies["both"]
    assert found.study.times == 3 and len(found.points) == 4 + 3
    assert planned(folder, "compare: [a, c]", "figures: [curves]").studies["both"].study.figures


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["compare: [a]"], "both.yaml:2: compare: name two studies or more, each once"),
        (["compare: [a, a]"], "both.yaml:2: compare: name two studies or more, each once"),
        (
            ["compare: [a, b]", "repeats: 3"],
            "both.yaml:3: repeats: a study that compares others has no runs",
        ),
        (["compare: [a, elsewhere]"], "both.yaml:2: compare: a and elsewhere have other data or other splits of it"),
        (["compare: [a, other_words]"], "the label 'wide' of model means one thing in a and another in other_words"),
        (["compare: [a, both]"], "compare: both compares studies itself, this one among them"),
        (["compare: [a, circle]"], "circle compares studies itself, this one among them"),
        (["compare: [a, aa]"], "unknown study 'aa'"),
        (["compare: [a, b]", "tables: [{name: by_axis, axis: modle}]"], "both.yaml:3: tables.0.axis: unknown axis"),
    ],
)
def test_what_does_not_compare_is_told_with_its_line(folder, lines, said):
    with pytest.raises(StudyError) as caught:
        planned(folder, *lines)
    assert said in str(caught.value)


def test_a_smoke_run_compares_smoke_runs(folder):
    (folder / "both.yaml").write_text("title: both\ncompare: [a, b]\n")
    plan = build(["both"], folder, {"scale": "smoke"})
    assert list(plan.studies) == ["both-smoke"] and plan.studies["both-smoke"].study.scale == "smoke"


def test_by_command_a_page_shows_them_before_any_run(folder):
    study = plan_comparison(["a", "b"])
    assert study.name == "a-b" and [point.labels["study"] for point in study.points] == ["a"] * 4 + ["b"] * 2
    from espalier.plan import manifest as manifests

    there = folder.parents[1] / "results/compare/a-b"
    manifests.write(there / "plan.json", manifest(study))
    _, failures = make(there, there / "plan.json")
    assert not failures and "b, Adam" in (there / "index.html").read_text()
