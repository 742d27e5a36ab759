"""All configurations of a study in one table that a browser sorts and searches."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, NamedTuple

from espalier.results.compare.comparison import HEADINGS, grouped, headed
from espalier.results.compare.costs import costs
from espalier.results.format import numbers
from espalier.results.format.marks import marked, names
from espalier.results.read import convergence, rungs
from espalier.results.read.planned_study import Study, baseline_number, configurations, headline, labels
from espalier.results.read.run_state import State
from espalier.runs.spoken_name import spoken_name
from espalier.stages import STAGES

if TYPE_CHECKING:
    import pandas as pd

NAMES = {
    "params": "Params",
    "nonzeros": "Non-zeros",
    "macs": "MACs",
    "file_bytes": "File",
    "latency_1": "Latency, 1 image (ms)",
    "latency_64": "Latency, 64 images (ms)",
    "train_time": "Train time",
    convergence.COLUMN: convergence.HEADING,
}
"""Costs by their short names, for headings."""
_CALLED = "Trainings"
"""Heading of their spoken names."""


class Cell(NamedTuple):
    """A cell of the leaderboard: the text, and the number that rows are sorted by (None where nothing was measured)."""

    text: str
    value: float | None


class Column(NamedTuple):
    """A heading, whether its cells are words, and whether the column is shown before a reader chooses."""

    head: str
    words: bool
    shown: bool


class Row(NamedTuple):
    """One configuration: `labels`, with spoken names, are found by the search too, `runs` are its repeats' runs, each
    after its parent."""

    name: str
    whole: str
    """every label that says something, in the order of the axes; empty where the name says it all"""
    labels: str
    baseline: bool
    cells: list[Cell]
    runs: list[str]


class Leaderboard(NamedTuple):
    """Rows, the best validation top-1 first, and the columns of their cells."""

    columns: list[Column]
    rows: list[Row]


def without_unfinished(frame: "pd.DataFrame", states: Mapping[str, State]) -> "pd.DataFrame":
    """The frame without the measures of networks that a stage is still to change: those are of the network before."""
    changing = [name for name in frame if name.startswith("run.") and STAGES[name[4:]].changes]
    ready = frame[changing].map(lambda run: not isinstance(run, str) or states[run].name == "done").all(axis=1)
    measures = {name for stage in STAGES.values() for name in stage.metrics} & set(frame)
    return frame.assign(**{name: frame[name].where(ready) for name in measures})


def configuration_table(frame: "pd.DataFrame", study: Study) -> "pd.DataFrame":
    """A row a configuration: what `grouped` says of it, and the mean of every cost that was measured."""
    data = grouped(frame, "configuration", study)
    for name in NAMES:
        data[name] = costs(frame, study, name).groupby(frame["configuration"], sort=False).mean()
    # Where nothing has zeros, they would say the same twice.
    if "nonzeros" not in frame or frame["nonzeros"].isna().all():
        data["nonzeros"] = float("nan")
    return data


def leaderboard(frame: "pd.DataFrame", study: Study) -> Leaderboard:
    """The study's configurations, also those without a result: what a rung has ended stands below, the later the
    higher."""
    data = configuration_table(frame, study)
    stopped = rungs.of_configurations(study)
    data["stopped_at"] = [stopped[number].epochs if number in stopped else float("inf") for number in data.index]
    data["stopped_score"] = [stopped[number].score if number in stopped else None for number in data.index]
    order = ["validation_top1_mean", "stopped_at", "stopped_score"]
    data = data.sort_values(order, ascending=False, na_position="last", kind="stable")
    columns = _columns(data, study)
    columns["Done"] = [
        Cell(stopped[number].words(), 0.0) if number in stopped else cell
        for number, cell in zip(data.index, columns["Done"], strict=True)
    ]
    named, baseline, runs = names(study), baseline_number(study), _runs(study)
    labels = {number: found for found, number in configurations(study).items()}
    along = {axis: [labels[number][place] for number in data.index] for place, axis in enumerate(study["axes"])}
    axes = {head: cells for head, cells in headed(along, study).items() if len(set(cells)) > 1}
    more = _convergence(data) | _rounds(frame, data.index)
    called = {number: _called(ids, study) for number, ids in runs.items()}
    # Text columns: the page's search looks through them; they are hidden at first.
    words = {_CALLED: [called[number] for number in data.index], **axes}
    rows = [
        Row(
            named[number],
            _whole(labels[number], named[number]),
            " ".join([*labels[number], called[number]]),
            number == baseline,
            [
                *(cells[place] for cells in (*columns.values(), *more.values())),
                *(Cell(cells[place], None) for cells in words.values()),
            ],
            runs[number],
        )
        for place, number in enumerate(data.index)
    ]
    # A column that is the same in every row is hidden at first; the reader may show it.
    shown = [Column(head, False, len({cell.text for cell in cells}) > 1) for head, cells in columns.items()]
    if not any(column.shown for column in shown):
        shown = [column._replace(shown=True) for column in shown]
    asked_for = [*(Column(head, False, False) for head in more), *(Column(head, True, False) for head in words)]
    return Leaderboard([*shown, *asked_for], rows)


def _called(runs: Sequence[str], study: Study) -> str:
    """The spoken names of the trainings among a configuration's runs."""
    return ", ".join(spoken_name(run) for run in runs if study["runs"][run]["stage"] == "train")


def _convergence(data: "pd.DataFrame") -> dict[str, list[Cell]]:
    """Epochs to convergence of each configuration; nothing where none has a result."""
    if data[f"{convergence.COLUMN}_mean"].isna().all():
        return {}
    head, texts = printed(convergence.COLUMN, data[f"{convergence.COLUMN}_mean"].tolist())
    cells = zip(texts, data[f"{convergence.COLUMN}_mean"], strict=True)
    return {head: [Cell(text, _value(value)) for text, value in cells]}


def _rounds(frame: "pd.DataFrame", configurations: "pd.Index") -> dict[str, list[Cell]]:
    """The round of a search that each configuration came with; nothing of a study without rounds."""
    if "round" not in frame:
        return {}
    found = frame.groupby("configuration")["round"].first()
    return {"Round": [Cell(str(found[number]), float(found[number])) for number in configurations]}


def _whole(labels: tuple[str, ...], name: str) -> str:
    """All labels of a configuration; empty where its name says them."""
    said = [label for label in labels if label not in ("none", "–")]
    words = name.replace(",", " ").split()
    return "" if all(part in words for label in said for part in label.split()) else " · ".join(said)


def _columns(data: "pd.DataFrame", study: Study) -> dict[str, list[Cell]]:
    columns = {}
    for name, head in sorted(HEADINGS.items(), reverse=True):
        if f"{name}_mean" in data:
            pairs = zip(data[f"{name}_mean"], data[f"{name}_sd"], strict=True)
            columns[marked(head, study)] = [Cell(numbers.spread(mean, sd), _value(mean)) for mean, sd in pairs]
    counted = data[f"{headline(study)}_n"]
    columns["n"] = [Cell(str(int(n)), float(n)) for n in counted]
    for name in NAMES:
        # The table shows one latency only, to stay short; epochs to convergence are hidden at first.
        if name not in ("latency_64", convergence.COLUMN) and data[name].notna().any():
            head, texts = printed(name, data[name].tolist())
            columns[head] = [Cell(text, _value(value)) for text, value in zip(texts, data[name], strict=True)]
    parts = zip(data["done"], data["planned"], strict=True)
    columns["Done"] = [Cell(f"{done:.0f} of {planned:.0f}", float(done / planned)) for done, planned in parts]
    return columns


def printed(name: str, values: Sequence[float]) -> tuple[str, list[str]]:
    """Heading with its unit, and the cells of a cost."""
    if name.startswith("latency"):
        return NAMES[name], [numbers.plain(value) for value in values]
    if name == convergence.COLUMN:
        return NAMES[name], [numbers.plain(value, 1) for value in values]
    if name == "train_time":
        divisor, unit = numbers.time_unit(values)
        return f"{NAMES[name]} ({unit})", [numbers.scaled(value, divisor) for value in values]
    return (numbers.sizes if name == "file_bytes" else numbers.counts)(NAMES[name], values)


def _value(value: float) -> float | None:
    return None if isnan(value) else round(float(value), 6)


def _runs(study: Study) -> dict[int, list[str]]:
    """Configuration → ids of its repeats' runs, each once, those of one repeat after another."""
    numbers_of = configurations(study)
    found: dict[int, dict[str, None]] = {}
    for point in study["points"]:
        found.setdefault(numbers_of[labels(study, point)], {}).update(dict.fromkeys(point["runs"].values()))
    return {number: list(ids) for number, ids in found.items()}
