"""The way from explore.html back to index.html is shown where there is one."""

import shutil

import pytest


@pytest.fixture
def in_report(built):
    """The page where Snakemake's report puts it."""
    name = f"data/raw/{'0f' * 8}/explore.html"
    (built.folder / name).parent.mkdir(parents=True)
    shutil.copy2(built.folder / "explore.html", built.folder / name)
    yield name
    shutil.rmtree(built.folder / "data")


def test_the_study_is_a_link_to_its_page(opened):
    tab = opened("explore.html")
    tab.locator(".kicker a").click()
    tab.wait_for_selector("#board")
    assert tab.url.endswith("/index.html")


def test_in_the_report_of_the_workflow_it_is_no_link(opened, in_report):
    tab = opened(in_report)
    assert tab.locator(".kicker").inner_text() == "Study small"
    assert tab.locator(".kicker a").count() == 0
