"""The archive of the report: the pages of studies with all that they link to."""

import zipfile

import pytest

from espalier.results.page import bundle


@pytest.fixture
def pages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "results/studies/a/index.html": '<a href="explore.html#x">x</a><img src="figures/one%20two.png">'
        '<a href="../../runs/train/r/run.log">log</a><a href="#here">h</a><a href="https://example.org">web</a>'
        '<a href="../../../../outside.txt">o</a><a href="missing.csv">m</a>',
        "results/studies/a/explore.html": '<a href="index.html">back</a><a href="more.csv" download>d</a>',
        "results/studies/a/figures/one two.png": "png",
        "results/studies/a/more.csv": "1",
        "results/studies/b/index.html": "<p>b</p>",
        "results/runs/train/r/run.log": "log",
        "../outside.txt": "not ours",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with zipfile.ZipFile("report.zip", "w") as file:
        file.writestr("report/report.html", "Snakemake's")
    return [tmp_path / f"results/studies/{name}/index.html" for name in "ab"]


def names() -> list[str]:
    with zipfile.ZipFile("report.zip") as file:
        return file.namelist()


def test_what_a_page_links_to_comes_with_it_and_nothing_else(pages):
    bundle.add("report.zip", pages[:1])
    assert sorted(names()) == [
        "report/index.html",
        "report/report.html",
        "report/results/runs/train/r/run.log",
        "report/results/studies/a/explore.html",
        "report/results/studies/a/figures/one two.png",
        "report/results/studies/a/index.html",
        "report/results/studies/a/more.csv",
    ]


def test_one_study_opens_at_once_and_several_are_listed(pages):
    for chosen, opens in ((pages[:1], True), (pages, False)):
        with zipfile.ZipFile("report.zip", "w") as file:
            file.writestr("report/report.html", "Snakemake's")
        bundle.add("report.zip", chosen)
        with zipfile.ZipFile("report.zip") as file:
            text = file.read("report/index.html").decode()
        assert ('http-equiv="refresh"' in text) == opens
        assert all(f'href="results/studies/{page.parent.name}/index.html"' in text for page in chosen)
        assert 'href="report.html"' in text
