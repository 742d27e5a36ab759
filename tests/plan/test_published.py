"""Printed counts against ours, the page that shows them, and its examples."""

import importlib
import re
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter

import espalier.models
from espalier.errors import Mistake
from espalier.metrics.cost import layers, macs, params
from espalier.models.facts import prunable
from espalier.plan.build import build
from espalier.results.read import published_counts
from espalier.settings import registry

ROOT = Path(__file__).parents[2]
FILE = ROOT / published_counts.FILE
ROWS = published_counts.read(FILE)
PAGE = (ROOT / "docs/zoo.md").read_text()
HEADER = ",".join(published_counts.Published._fields)
ROW = "res24-5m,Res18,701466,res18_row8,,10,32,701466,0.0350,exact,As listed."
STUDY = "title: networks\ndataset: digits\ntrain: {epochs: 1}\n"


def printed(count):
    """A count as printed and the worth of its last digit: 4.9M is 4,900,000 and 100,000."""
    digits, unit = re.fullmatch(r"~?([\d,.]+)([MK]?)", count).groups()
    worth = {"M": 10**6, "K": 10**3, "": 1}[unit]
    return float(digits.replace(",", "")) * worth, worth / 10 ** len(digits.partition(".")[2])


def relation(row):
    """The statuses that a row's two counts allow."""
    if not row.published_params:
        return {"no count"}
    if row.params is None:
        return {"not reproduced"}
    count, last = printed(row.published_params)
    if row.published_params.startswith("~"):
        return {"approximate" if abs(row.params / count - 1) < 0.05 else "not reproduced"}
    if abs(row.params - count) >= last:
        return {"not reproduced"}
    return {"rounded"} if last > 1 else {"exact", "fitted", "inferred"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.model}-{row.classes}")
def test_the_status_is_what_the_counts_say(row):
    assert row.status in relation(row)


@pytest.mark.parametrize(("text", "count"), [("4.9M", (4.9e6, 1e5)), ("799K", (799e3, 1e3)), ("~1,200", (1200, 1))])
def test_a_printed_count_is_worth_its_digits(text, count):
    assert printed(text) == pytest.approx(count)


def test_every_row_is_told_once_in_one_sentence():
    assert len({(row.report, row.name, row.model, row.prune, row.classes) for row in ROWS}) == len(ROWS)
    assert [row.name for row in ROWS if not row.note.endswith(".") or ". " in row.note] == []
    assert [row.name for row in ROWS if "|" in "".join(map(str, row))] == []


def test_every_status_and_report_is_used_and_explained():
    assert {row.status for row in ROWS} == set(published_counts.STATUSES)
    assert {row.report for row in ROWS} == set(published_counts.REPORTS)
    readme = (FILE.parent / "README.md").read_text()
    assert [name for name, title in published_counts.REPORTS.items() if f'`{name}` | "{title}"' not in readme] == []
    assert [column for column in published_counts.Published._fields if f"`{column}`" not in readme] == []


def test_a_row_is_read_and_shown(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text(f"{HEADER}\n{ROW}\n")
    (row,) = published_counts.read(path)
    assert (row.classes, row.image_size, row.params, row.gmac) == (10, 32, 701_466, 0.035)
    line = "| Res18 | 701466 | 701,466 | 0.0350 | `res18_row8` | 10, 32 | exact | As listed. |"
    assert line in published_counts.document([row]).splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER.replace("gmac", "macs"), "the columns must be report, name"),
        (f"{HEADER}\n{ROW.replace('exact', 'exactly')}", r"csv:2: status is 'exactly'; write one of exact, fitted"),
        (f"{HEADER}\n{ROW.replace('res24-5m', 'res24')}", "csv:2: report is 'res24'"),
        (f"{HEADER}\n{ROW},more", "csv:2: has not one value for each column"),
        (f"{HEADER}\n{ROW.rpartition(',')[0]}", "csv:2: has not one value for each column"),
        (f"{HEADER}\n{ROW.replace(',32,', ',large,')}", "csv:2: .*'large'"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, message):
    path = tmp_path / "counts.csv"
    path.write_text(text)
    with pytest.raises(Mistake, match=message):
        published_counts.read(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(Mistake, match=r"absent\.csv: cannot be read"):
        published_counts.read(tmp_path / "absent.csv")


def examples(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", examples("yaml"))
def test_the_page_names_networks_as_a_study_may(tmp_path, example):
    (tmp_path / "networks.yaml").write_text(STUDY + example)
    runs = build([str(tmp_path / "networks.yaml")], tmp_path).runs["train"].values()
    assert len(runs) == (3 if "grid" in example else 1)
    for run in runs:
        with torch.device("meta"):
            assert params(run.spec.model.build(10, 32)) > 0


def test_a_network_written_as_the_page_says_is_in_the_zoo(tmp_path, monkeypatch):
    (example,) = examples("python")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/plain_cnn.py").write_text(example)
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    monkeypatch.setattr(espalier.models, "__path__", [*espalier.models.__path__, str(tmp_path / "models")])
    for cached in (registry.entries, registry.presets, registry.types_of):
        monkeypatch.setattr(registry, cached.__name__, cached.__wrapped__)
    importlib.invalidate_caches()
    read = TypeAdapter(registry.choice("model")).validate_python
    assert read("plain_cnn_wide").width == 64
    width, classes = 8, 5
    with torch.device("meta"):
        model = read({"name": "plain_cnn", "width": width, "layers": 3}).build(classes, 16)
    convolutions = 9 * 3 * width + 2 * 9 * width * width
    assert params(model) == convolutions + 3 * 2 * width + width * classes + classes
    assert macs(model, 16) == convolutions * 16 * 16 + width * classes
    assert layers(model) == 4
    assert list(prunable(model)) == ["features.0", "features.3", "features.6"]


def test_every_fact_is_explained():
    assert "## What a network declares" in PAGE
    facts = {fact for entry in registry.entries("model").values() for fact in entry.facts}
    assert [fact for fact in sorted(facts) if f"| `{fact}` |" not in PAGE] == []
    assert [field for field in espalier.models.facts.Facts.__dataclass_fields__ if f"| `{field}` |" not in PAGE] == []
