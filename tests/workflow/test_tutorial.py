"""The tutorial can be followed by its text alone: its blocks, one after the other, in a fresh copy."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|yaml|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STUDY = "config/studies/mine.yaml"


def run(repository, language: str, text: str) -> subprocess.CompletedProcess | None:
    """Do what a block says in the repository; a study is written to the file that the page names."""
    if language == "yaml":
        assert f"`{STUDY}`" in PAGE
        (repository.folder / STUDY).write_text(text)
        return None
    if language == "sh" and text.startswith("snakemake "):
        return repository.snakemake(*shlex.split(text)[1:])
    command = ["-c", text] if language == "python" else ["-m", "espalier", *shlex.split(text)[1:]]
    environment = os.environ | {"PYTHONPATH": str(repository.folder)}
    done = subprocess.run(
        [sys.executable, *command], cwd=repository.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_study_is_planned_as_the_page_says(planned, tmp_path):
    repository = planned.copy(tmp_path / "copy")
    blocks = BLOCK.findall(PAGE)
    assert [language for language, _ in blocks] == ["python", "yaml", "sh", "sh", "python", "sh", "python"]
    for block in blocks[:2]:
        run(repository, *block)
    jobs = repository.jobs(*shlex.split(blocks[2][1])[2:])
    counted = sum(count for rule, count in jobs.items() if rule != "page")
    assert jobs["train"] == 3 and f"lists the {counted} runs" in PAGE


@pytest.mark.slow
def test_the_tutorial_from_its_first_line_to_its_last(repository):
    told = [run(repository, *block) for block in BLOCK.findall(PAGE)]
    made = repository.folder / "results/studies/mine"
    for name in re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE):
        assert [*made.glob(name)], name
    assert (repository.folder / "shapes.esp").stat().st_size < 50_000
    answers = list(csv.DictReader((repository.folder / "answers.csv").open()))
    right = [answer["label"] == Path(answer["file"]).name.partition("-")[0] for answer in answers]
    assert len(answers) == 15 and sum(right) >= 12
    assert len(told[-1].stdout.splitlines()) == 3
