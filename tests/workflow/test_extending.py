"""The page on adding things is true: its code is put where it says, and its study runs to the end."""

import csv
import re
from pathlib import Path

import pytest

from espalier.settings.registry import ROOMS

PAGE = Path(__file__).parents[2] / "docs/extending.md"
PLACED = re.compile(
    r"^(?:A new file, |(?P<end>At the end of ))?`(?P<path>(?:espalier|config)/\S+\.\w+)`(?:(?!```).)*"
    r"^```\w+\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def blocks():
    """(path, text, whether it goes to the end of a file that is there) of every file of the page."""
    return [(found["path"], found["text"], bool(found["end"])) for found in PLACED.finditer(PAGE.read_text())]


@pytest.fixture(scope="module")
def extended(tmp_path_factory, fresh):
    """A repository with all that the page adds, and the page's study run in it."""
    repository = fresh(tmp_path_factory.mktemp("extended") / "repository")
    for name, text, appended in blocks():
        path = repository.folder / name
        assert path.exists() == appended, name
        path.write_text(path.read_text() + "\n\n" + text if appended else text)
    (command,) = re.findall(r"^snakemake (.*)$", PAGE.read_text(), re.MULTILINE)
    repository.snakemake(*command.split())
    return repository.folder


def test_every_block_of_code_has_its_place():
    assert len(blocks()) == len(re.findall(r"^```(?:python|yaml)$", PAGE.read_text(), re.MULTILINE))


def test_the_page_names_the_place_of_every_kind():
    text = PAGE.read_text().replace("`", "").replace(",", "")
    for kind, place in ROOMS.items():
        assert re.search(rf"^\|[^|]*\b{kind}\b[^|]*\|[^|]*{re.escape(place)}", text, re.MULTILINE), kind


def test_its_study_trains_prunes_and_scores(extended):
    runs = [row for path in extended.glob("results/runs/*/*/metrics.csv") for row in csv.DictReader(path.open())]
    assert len(runs) == 4
    (pruned,) = [row for row in runs if "sparsity" in row]
    assert 25 < float(pruned["sparsity"]) < 35
    scored = [float(row["test_top1"]) for row in runs if "test_top1" in row]
    # Of two classes: half are right by chance.
    assert len(scored) == 2 and min(scored) > 40
    (table,) = extended.glob("results/studies/extended/tables/slowest.csv")
    assert len(list(csv.DictReader(table.open()))) == 2


def test_its_settings_are_in_the_runs(extended):
    (log,) = extended.glob("results/runs/train/*/run.json")
    text = log.read_text()
    assert all(word in text for word in ('"separable"', '"dim"', '"adagrad"'))
