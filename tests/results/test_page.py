from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch

from espalier.data.prepared import SPLITS, Dataset, write
from espalier.results.page import study_page
from espalier.results.read import tidy
from espalier.results.study_outputs import captions, draw, outputs_of
from espalier.runs.spoken_name import spoken_name
from support import study_on_disk as disk

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{ 7*7 }}"


class Read(HTMLParser):
    """The links, tags, and text of a page; scripts are no text."""

    def __init__(self, path):
        super().__init__()
        self.links, self.tags, self.text, self.handlers, self.script = [], [], "", [], False
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.script = tag == "script"
        self.links += [value for name, value in attrs if name in ("href", "src")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag):
        self.script = self.script and tag != "script"

    def handle_data(self, data):
        self.text += "" if self.script else data


def built(root, study, monkeypatch):
    monkeypatch.chdir(root)
    plan = disk.write_plan(Path(), study)
    out = plan.parent / "index.html"
    states = tidy.states(study)
    study_page.write(out, plan, study, tidy.runs(study, known=states), states)
    return Read(out), out


@pytest.fixture
def partial(tmp_path):
    study = disk.plan()
    disk.finish(tmp_path, study)
    train = [study["runs"][point["runs"]["train"]] for point in study["points"]]
    for point in study["points"][:4]:
        disk.undo(tmp_path, study["runs"][point["runs"]["evaluate"]], "waiting")
    for run, state in zip(train, ("failed", "lost", "running", "waiting"), strict=False):
        disk.undo(tmp_path, run, state)
    return tmp_path, study


def test_counts_and_failures_with_their_logs(partial, monkeypatch):
    read, out = built(*partial, monkeypatch)
    words = " ".join(read.text.split())
    for words_of_state in ("35 done", "1 running", "1 failed", "1 lost", "5 waiting", "of 43 runs"):
        assert words_of_state in words
    assert "CUDA out of memory" in words
    failed = partial[1]["runs"][partial[1]["points"][0]["runs"]["train"]]
    log = next(link for link in read.links if "run.log" in link)
    assert (out.parent / unquote(log)).resolve() == Path(failed["path"], "run.log").resolve()


def test_the_data_are_told_by_class_and_split(partial, monkeypatch):
    root, study = partial
    path = next(run["path"] for run in study["runs"].values() if run["stage"] == "prepare")
    for name, one in (("ash", 24), ("<b>elm</b>", 300)):
        labels = torch.arange(40) % 2
        splits = dict(zip(SPLITS, torch.arange(40).split([28, 4, 8]), strict=True))
        images = torch.randint(0, 256, (40, 3, 4, 4), dtype=torch.uint8)
        classes = tuple(f"{name} {number}" for number in range(one))
        write(root / path, Dataset(images, labels, splits, classes, left_out={".heic": 4}), {})
        read, _ = built(root, study, monkeypatch)
        words = " ".join(read.text.split())
        assert f"{one} classes; 28 training and 4 validation images; 8 test images: one is worth 12 points" in words
        assert "and a top-1 of 90 % has a 95 % interval" in words
        assert "Left out, since they are no images: 4 .heic" in words and "the 20 with the fewest to train on" in words
        assert f"{name} 2000" in words and "All2848" in words
        assert f"{name} 01424" not in words
    classes = ("ash", "elm")
    write(root / path, Dataset(images, labels, splits, classes), {})
    words = " ".join(built(root, study, monkeypatch)[0].text.split())
    assert "ClassTrainValidationTest ash1424 elm1424 All2848" in words


def test_a_diverged_run_is_told_with_its_reason(partial, monkeypatch):
    root, study = partial
    disk.diverge(root, study, study["points"][4])
    words = " ".join(built(root, study, monkeypatch)[0].text.split())
    for told in ("33 done", "1 diverged", "1 not run", "epoch 6: the training loss is nan"):
        assert told in words


def test_everything_is_local_and_every_link_leads_somewhere(partial, monkeypatch):
    root, study = partial
    monkeypatch.chdir(root)
    study = study | {"figures": study["figures"][-1:]}
    frame, history = tidy.runs(study), tidy.history(study)
    draw(outputs_of(study, "figure"), Path("results/studies/demo/figures"), frame, history, study)
    read, out = built(root, study, monkeypatch)
    assert "link" not in read.tags and "iframe" not in read.tags
    written = out.read_text().partition("<script")[0]
    assert "url(" not in written and "@import" not in written
    anchors = [link for link in read.links if link.startswith("#")]
    assert all(f'id="{link[1:]}"' in out.read_text() for link in anchors)
    files = [link for link in read.links if not link.startswith("#")]
    assert any(link.endswith(".png") for link in files)
    assert all((out.parent / unquote(link)).exists() for link in files)


def test_tables_figures_and_their_captions(partial, monkeypatch):
    read, _ = built(*partial, monkeypatch)
    words = " ".join(read.text.split())
    for caption in (*captions(partial[1], "table").values(), *captions(partial[1], "figure").values()):
        assert all(sentence.strip(". ") in words for sentence in caption.whole().split(". "))
    # Beside those asked for: the axes, the failed runs, the leaderboard.
    assert read.tags.count("table") == len(partial[1]["tables"]) + 3
    assert "98." in words and "is not drawn yet" in words


def test_commands_make_each_run_again(partial, monkeypatch):
    study = partial[1]
    read, _ = built(*partial, monkeypatch)
    ids = study["points"][5]["runs"]
    data, train, evaluate = (study["runs"][ids[stage]]["path"] for stage in ("prepare", "train", "evaluate"))
    script = "python workflow/scripts/stage.py"
    assert f"{script} prepare {data}" in read.text
    assert f"{spoken_name(ids['train'])} {script} train {train} --data {data}" in " ".join(read.text.split())
    assert f"{script} evaluate {evaluate} --parents {train} --data {data}" in read.text


def test_provenance_of_finished_runs(partial, monkeypatch):
    words = " ".join(built(*partial, monkeypatch)[0].text.split())
    for fact in ("1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e", "torch 2.13.0", "laptop", "cpu", "2026-03-01", "0f1e2d3c"):
        assert fact in words


def test_hostile_names_stay_text(tmp_path, monkeypatch):
    study = disk.plan([dict(disk.BASELINE), dict(disk.BASELINE) | {"model": HOSTILE}])
    study |= {"title": HOSTILE, "description": HOSTILE, "source": HOSTILE}
    disk.finish(tmp_path, study)
    run = study["runs"][study["points"][0]["runs"]["train"]]
    disk.undo(tmp_path, run, "failed")
    (tmp_path / run["path"] / "run.log").write_text(f"Traceback (most recent call last):\nError: {HOSTILE}\n")
    read, _ = built(tmp_path, study, monkeypatch)
    assert "img" not in read.tags and not read.handlers
    # Title, heading, lead, axis, leaderboard, tables, log and study file show it letter for letter.
    assert read.text.count(HOSTILE) >= 9
    explored = Read(tmp_path / "results/studies/demo/explore.html")
    assert "img" not in explored.tags and not explored.handlers and HOSTILE in explored.text


def test_a_plan_without_a_run_makes_a_page(tmp_path, monkeypatch):
    words = " ".join(built(tmp_path, disk.plan(), monkeypatch)[0].text.split())
    assert "0 done" in words and "43 waiting" in words and "No run has finished yet" in words
