"""What a study shows, made at once: whole, the same each time, and old as soon as its plan or its runs are others."""

import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from espalier.errors import ArtifactError
from espalier.results import call_end
from espalier.results.page import freshness
from espalier.results.read import tidy
from espalier.results.study_folder import make
from support import study_on_disk as disk
from support.sealed import reseal

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/write_page.py"
FOLDER = Path("results/studies/demo")


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A finished study of two tables and one figure, in the working directory."""
    monkeypatch.chdir(tmp_path)
    study = disk.plan(disk.one_factor()[:3], repeats=2)
    study |= {part: study[part][:count] for part, count in (("tables", 2), ("figures", 1))}
    disk.finish(tmp_path, study)
    disk.write_plan(Path(), study)
    return study


@pytest.fixture
def bare(study):
    """The study with its page alone."""
    study |= {"tables": [], "figures": []}
    return study


def made(study):
    """Make the study's folder; whether its page is current."""
    make(FOLDER, disk.write_plan(Path(), study))
    return current(study)


def current(study):
    known = {id_: state.record for id_, state in tidy.states(study).items()}
    return freshness.current(FOLDER, freshness.made_from(study, known))


def trained(study):
    """The folder of a training run."""
    return Path(study["runs"][study["points"][0]["runs"]["train"]]["path"])


def test_the_script_makes_all_and_twice_the_same(study):
    subprocess.run([sys.executable, SCRIPT, "one", "--plan", FOLDER / "plan.json"], check=True)
    make(Path("two"), FOLDER / "plan.json")
    files = {path.relative_to("one") for path in Path("one").rglob("*") if path.is_file()}
    pages = {"runs.csv", "index.html", "explore.html", "page.json"}
    tables = {f"tables/{item['key']}.{form}" for item in study["tables"] for form in ("csv", "md", "tex", "html")}
    figures = {f"figures/{item['key']}.{form}" for item in study["figures"] for form in ("png", "pdf")}
    assert set(map(str, files)) == pages | tables | figures
    assert all(Path("one", name).read_bytes() == Path("two", name).read_bytes() for name in files)
    means = pd.read_csv("one/runs.csv").groupby("configuration")["test_top1"].mean()
    assert pd.read_csv("one/tables/summary.csv")["test_top1_mean"].tolist() == pytest.approx(means.tolist())


def told(monkeypatch, *words):
    """What the script, called in this process, says at its end with exit code 1."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert isinstance(ended.value.code, str)
    return ended.value.code


def test_the_script_tells_a_mistake_in_one_line(study, monkeypatch):
    words = told(monkeypatch, "one", "--plan", "absent.json")
    assert words.startswith("error: ") and "absent.json" in words and "\n" not in words


def test_a_page_is_current_until_its_plan_or_a_run_is_another(bare):
    assert not current(bare)
    assert made(bare)
    assert not current(bare | {"title": "Another"})
    reseal(trained(bare), host="elsewhere")
    assert not current(bare) and made(bare)
    disk.undo(Path(), bare["runs"][bare["points"][0]["runs"]["evaluate"]], "waiting")
    assert not current(bare) and made(bare)


def test_a_page_is_current_until_a_file_that_it_reads_is_another(study):
    study["tables"] = [{"key": "published", "name": "published", "file": "ours"}]
    known = dict.fromkeys(study["runs"])
    file, sources = (Path("config/published", name) for name in ("ours.csv", "sources.csv"))
    file.parent.mkdir(parents=True)
    file.write_text("model,top1_pct\n")
    before = freshness.made_from(study, known)
    assert before["files"].keys() == {str(file), str(sources)} and before["files"][str(sources)] is None
    file.write_text("model,top1_pct\nLeNet,97.5\n")
    assert freshness.made_from(study, known) != before


def test_old_pages_say_so_once_and_new_ones_do_not(bare):
    freshness.mark_old(FOLDER)
    assert not (FOLDER / "index.html").exists()
    made(bare)
    pages = [FOLDER / "index.html", FOLDER / "explore.html"]
    for _ in range(2):
        freshness.mark_old(FOLDER)
        assert [page.read_text().count("This page is old") for page in pages] == [1, 1]
    made(bare)
    assert not any("This page is old" in page.read_text() for page in pages)


def test_nothing_is_made_of_a_damaged_run(bare):
    made(bare)
    before = (FOLDER / "index.html").stat()
    folder = trained(bare)
    (folder / "metrics.csv").write_text((folder / "metrics.csv").read_text().replace("9", "8"))
    with pytest.raises(ArtifactError, match=rf"metrics\.csv: it is damaged.*espalier forget {folder.name}"):
        made(bare)
    assert (FOLDER / "index.html").stat() == before


def test_what_nobody_asks_for_any_more_and_what_was_left_half_way_is_gone(study):
    made(study)
    half_way = [FOLDER / ".runs.csv.0123abcd.csv", trained(study) / "checkpoint/latest.safetensors"]
    half_way[1].parent.mkdir()
    for path in half_way:
        path.touch()
    made(study | {"tables": study["tables"][1:], "figures": []})
    assert not any(path.exists() for path in half_way)
    assert {path.stem for path in (FOLDER / "tables").iterdir()} == {study["tables"][1]["key"]}
    assert not list((FOLDER / "figures").iterdir())


@pytest.fixture
def broken(study):
    """The study with a table and a figure that cannot be made among those that can."""
    study["tables"].insert(0, {"key": "best", "name": "best", "count": "three"})
    study["tables"].insert(1, {"key": "gone", "name": "published", "file": "nowhere"})
    study["figures"].insert(0, {"key": "by_axis-x", "name": "by_axis", "axis": "x"})
    return study


def test_what_cannot_be_made_costs_itself_alone_and_says_why(broken, monkeypatch):
    disk.write_plan(Path(), broken)
    words = told(monkeypatch, FOLDER, "--plan", FOLDER / "plan.json")
    failures = [line.removeprefix("error: ") for line in words.splitlines() if line.startswith("error: ")]
    assert [line.partition(": not made")[0] for line in failures] == [
        f"{FOLDER}/{place}" for place in ("tables/best", "tables/gone", "figures/by_axis-x")
    ]
    assert words.count("Traceback") == 2, "a published file that is not there is a mistake of the user's"
    assert "TypeError" in failures[0] and "TypeError" in (FOLDER / "tables/best.md").read_text()
    assert "nowhere" in (FOLDER / "tables/gone.html").read_text()
    for part, forms in (("tables", 4), ("figures", 2)):
        assert len([*(FOLDER / part).iterdir()]) == forms * len(broken[part])
    page = (FOLDER / "index.html").read_text()
    assert "TypeError" in page and "98." in page
    # Made anew until nothing fails.
    assert not current(broken)
    _, line, *said = call_end._ended(FOLDER, failed=False)
    assert "13 of 13 runs are done" in line
    assert said == failures
