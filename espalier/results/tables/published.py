from typing import TYPE_CHECKING

from espalier.errors import Mistake
from espalier.plan import published_numbers as files
from espalier.results.compare.comparison import headed, protocol, spread_words
from espalier.results.compare.costs import costs
from espalier.results.format import numbers
from espalier.results.format.captions import Caption
from espalier.results.format.table import Table, table_of
from espalier.results.read import bit_cells
from espalier.results.read.planned_study import headline
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd

_HEADS = {"validation_top1": "Ours, validation top-1 (%)", "test_top1": "Ours, test top-1 (%)"}
_NAME = "name"
"""Column of what a row is called where it was published, if that is not what we call it."""
_SIZE = "file_bytes"
"""Column of the bytes of the file that holds a network."""
_WIDTHS = {"weight_bits": "Weights (bits)", "activation_bits": "Activations (bits)"}


@register("table", reads="published")
def published(frame, study: dict, *, file: str, value: str = "top1_pct") -> Table:
    """Our accuracies beside those that others have published for the same settings, and the difference.

    Args:
        file: published numbers: a CSV in config/published/, without its ending
        value: its column of published accuracies in percent
    """
    # Captions come from this module, and must not wait for pandas.
    import pandas as pd

    from espalier.results.compare.samples import samples
    from espalier.results.compare.statistics import estimates

    if message := files.misfit(file, value, study["axes"]):
        raise Mistake(message)
    rows = files.rows(file)
    named = files.keys(rows[0], study["axes"])
    widths = [name for name in files.WIDTHS if name in rows[0] and name not in named]
    ours = _ours(frame, study, cells=len(widths) == len(files.WIDTHS))
    if _SIZE in rows[0]:
        ours[_SIZE] = costs(frame, study, _SIZE).reindex(ours.index)
    # A published row may describe several of our configurations, which differ on axes that it does not name.
    keys = [f"label.{axis}" for axis in study["axes"]] + widths
    alike = ours.groupby(keys, sort=False, dropna=False, observed=True)
    told = estimates(samples(ours.assign(group=alike.ngroup()), "group", headline(study)))
    groups = [
        (dict(zip(keys, labels, strict=True)), group, told.iloc[place]) for place, (labels, group) in enumerate(alike)
    ]
    data = pd.DataFrame([line for row in rows for line in _lines(row, groups, named, widths, value)])
    if study.get("scale", "full") != "full":
        data["difference"] = float("nan")
    shown = [axis for axis in study["axes"] if axis in named.values() or data[axis].nunique() > 1]
    words = headed({axis: data[axis].tolist() for axis in shown}, study)
    words |= {head: data[name].tolist() for name, head in _WIDTHS.items() if name in widths}
    if _NAME in data:
        words = {"Published as": data[_NAME].tolist()} | words
    printed = words | _printed(data, headline(study))
    unused = [axis for axis in study["axes"] if axis not in shown]
    return table_of(data.drop(columns=unused), printed, len(words))


def _ours(frame: "pd.DataFrame", study: dict, *, cells: bool) -> "pd.DataFrame":
    """A row a repeat: its labels, accuracy, images and `params`; with `cells` a row a setting of widths too."""
    keys = ["configuration", "repeat"]
    own = [*keys, "seed", "folder.prepare", *(f"label.{axis}" for axis in study["axes"])]
    own += ["images"] if "images" in frame else []
    if not cells:
        return frame[[*own, headline(study), "params"]]
    return bit_cells.cells(frame, study).merge(frame[own], "left", keys).assign(params=float("nan"))


def _lines(row: dict, groups: list, named: dict, widths: list, value: str) -> list[dict]:
    """Lines that compare a published row with each configuration that it describes.

    Where it describes none, one line has the published numbers alone.
    """

    wanted = {f"label.{axis}": row[column] for column, axis in named.items()} | {name: row[name] for name in widths}
    met = [each for each in groups if all(files.meets(cell, str(each[0][key])) for key, cell in wanted.items())]
    lines = []
    absent = (dict.fromkeys(groups[0][0] if groups else (), numbers.MISSING) | wanted, None, {"n": 0})
    for labels, group, found in met or [absent]:
        line = {key.removeprefix("label."): str(label) for key, label in labels.items()}
        line |= {name: found.get(name, float("nan")) for name in ("mean", "sd", "low", "high")} | {"n": int(found["n"])}
        if _NAME in row and _NAME not in named:
            line[_NAME] = row[_NAME]
        line["planned"] = 0 if group is None else len(group)
        line["published"] = float(row[value] or "nan")
        line["difference"] = line["mean"] - line["published"]
        if "params" in row and "params" not in named:
            counts = [] if group is None else group["params"].dropna().unique()
            line |= {"params": counts[0] if len(counts) == 1 else float("nan"), "published_params": row["params"]}
        if _SIZE in row:
            line |= {_SIZE: group[_SIZE].mean() if line["n"] else float("nan")}
            line["published_file_bytes"] = float(row[_SIZE] or "nan")
        lines.append(line)
    return lines


def _printed(data: "pd.DataFrame", measure: str) -> dict[str, list[str]]:
    found = data.to_dict("records")
    cells = {_HEADS[measure]: [_ours_printed(line) for line in found]}
    cells["n"] = [str(line["n"]) for line in found]
    cells["95 % interval (%)"] = [numbers.between(line["low"], line["high"]) for line in found]
    cells["Published (%)"] = [numbers.plain(line["published"]) for line in found]
    cells["Difference (points)"] = [numbers.signed(line["difference"]) for line in found]
    if "params" in data:
        cells["Ours, params"] = [numbers.scaled(line["params"], 1, whole=True) for line in found]
        cells["Published params"] = [_count(line["published_params"]) for line in found]
    if _SIZE in data:
        cells["Ours, file (bytes)"] = [numbers.scaled(line[_SIZE], 1, whole=True) for line in found]
        theirs = (line["published_file_bytes"] for line in found)
        cells["Published file (bytes)"] = [numbers.scaled(size, 1, whole=True) for size in theirs]
    return cells


def _ours_printed(line: dict) -> str:
    if line["n"]:
        return numbers.spread(line["mean"], line["sd"])
    return "not run" if line["planned"] else "not in the grid"


def _count(text: str) -> str:
    return f"{int(text):,}" if text.isdigit() else text or numbers.MISSING


def caption(study: dict, *, file: str, value: str) -> Caption:
    """What the table shows and how its numbers came about."""
    source = files.source(file)
    split = "test" if headline(study) == "test_top1" else "validation"
    return Caption(
        f"Our {split} top-1 beside the published one",
        f"Published: {value} of {source.place} of “{source.title}”; not measured here. {spread_words(study)}",
        f"Published accuracies are {source.accuracy}, of single runs where the source does not say otherwise. The "
        f"difference is ours less theirs. Of ours: {protocol(study)}",
    )
