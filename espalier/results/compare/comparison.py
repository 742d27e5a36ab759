"""Configurations side by side: one row a group of points, estimates over its repeats, and how they are printed."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from espalier.results.compare import verdicts
from espalier.results.format import numbers
from espalier.results.format.marks import names
from espalier.results.format.protocols import mixed, optimistic
from espalier.results.read import convergence
from espalier.results.read.planned_study import Study, axis_names, headline, stages, unit

if TYPE_CHECKING:
    import pandas as pd

_CLEAN = "the epoch is chosen on the validation split; the test split is scored once, at that epoch"
_VALIDATION_ONLY = (
    "the epoch is chosen on the same validation split, so these values are optimistic; no test split was scored"
)
_PUBLISHED = "the epoch is the best one on the test split, whose score is printed: optimistic"
_INTERVAL = (
    " The 95 % interval of the mean over seeds comes from logits and the spread that all configurations share, unless "
    "their spreads differ."
)

CONFIGURATION = "Configuration"
_LABELS = 3
"""Columns of labels that a reader takes in beside numbers."""

_TRAINED = "Training loss and top-1: of the augmented images of the best epoch, while it was trained."
_MORE = {
    "train_top1": ("Training top-1 (%)", 2, _TRAINED),
    "train_loss": ("Training loss", 4, _TRAINED),
    "validation_loss": (
        "Validation loss",
        4,
        "Validation loss: mean cross-entropy in nats an image, of the best epoch.",
    ),
    "epochs": ("Epochs", 1, "Epochs: how many were trained; the network is that of the best one."),
    convergence.COLUMN: (convergence.HEADING, 1, convergence.DEFINITION),
    convergence.SECONDS: ("Epoch time (s)", 2, "Epoch time: the mean over a training's epochs, validation included."),
}
"""Column of the frame that is printed only where a study names it → its heading, decimal places and definition."""
ASKED_FOR = {head: text for head, _, text in _MORE.values()}
"""Heading → definition of the same."""
HEADINGS = {"test_top1": "Test top-1 (%)", "validation_top1": "Validation top-1 (%)"}


def protocol(study: Study, interval: bool = True) -> str:
    """How the accuracies of a study came about, in words for a caption; the first sentence is the protocol.

    Args:
        interval: whether intervals of accuracies stand beside them
    """
    said = _PUBLISHED if optimistic(study) else _CLEAN if headline(study) == "test_top1" else _VALIDATION_ONLY
    if mixed(study):
        said = f"under the protocol clean, {said}; under published, {_PUBLISHED}"
    return f"{said[0].upper()}{said[1:]}.{_INTERVAL if interval else ''}"


def spread_words(study: Study) -> str:
    """What ± means, and over what, as a sentence for a caption."""
    return f"± is the sample standard deviation over n {unit(study)}."


def grouped(frame: "pd.DataFrame", by: str, study: Study) -> "pd.DataFrame":
    """Summarize the frame by the column `by`: a row a group, in the order of the plan.

    Columns are estimates of the accuracies over seeds; `params` and `macs` where all of a group have the same; the mean
    `train_wall_s`, extensions included; mean and standard deviation of the other measures; and the numbers of points:
    `done`, `diverged` and `planned`.

    All groups share one estimate of the spread. To show a part of a study, give the whole frame and take its rows from
    the result.
    """
    # Captions come from modules that import this one, and must not wait for pandas.
    import pandas as pd

    from espalier.results.compare.samples import samples
    from espalier.results.compare.statistics import estimates
    from espalier.results.read import trainings

    measures = ["validation_top1"]
    if "evaluate" in stages(study):
        measures += ["test_top1", "test_top5"]
    found = pd.concat([estimates(samples(frame, by, name)).add_prefix(f"{name}_") for name in measures], axis=1)
    timed = frame.assign(train_wall_s=trainings.wall_s(frame))
    groups = timed.groupby(by, sort=False, observed=True, dropna=False)
    for count in ("params", "macs"):
        found[count] = groups[count].first().where(groups[count].nunique() == 1)
    found["train_wall_s_mean"] = groups["train_wall_s"].mean()
    for name in _MORE:
        found[f"{name}_mean"], found[f"{name}_sd"] = groups[name].mean(), groups[name].std(ddof=1)
    if "stopped_at" in frame:
        found["stopped_at"] = groups["stopped_at"].max()
    for state in ("done", "diverged"):
        found[state] = (frame["state"] == state).groupby(frame[by], sort=False).sum()
    found["planned"] = groups.size()
    return found


def first_places(frame: "pd.DataFrame", configurations: "pd.Index", study: Study) -> dict[str, list[bool]]:
    """Printed heading of the accuracy that answers the study → whether each of `configurations` shares the first place
    among them."""
    from espalier.results.compare.samples import samples

    main = headline(study)
    found = samples(frame, "configuration", main).chosen(configurations)
    return {HEADINGS[main]: [*verdicts.first_places(found).values()]}


def label_columns(frame: "pd.DataFrame", configurations: "pd.Index", study: Study) -> dict[str, list[str]]:
    """Axis → the labels of the given configurations; axes with one value in the whole study are left out."""
    first = frame.drop_duplicates("configuration").set_index("configuration")
    axes = [axis for axis in study["axes"] if frame[f"label.{axis}"].nunique() > 1]
    return {axis: first.loc[configurations, f"label.{axis}"].tolist() for axis in axes}


def printed(data: "pd.DataFrame", study: Study) -> dict[str, list[str]]:
    """Heading with unit → printed cells of what `grouped` has found, those that only a study asks for at the end."""
    tested = "test_top1_mean" in data
    cells = {HEADINGS["validation_top1"]: _spread(data, "validation_top1")}
    if tested:
        cells[HEADINGS["test_top1"]] = _spread(data, "test_top1")
    main = headline(study)
    cells["n"] = [str(int(n)) for n in data[f"{main}_n"]]
    if data["diverged"].any():
        cells["Diverged"] = [str(int(count)) if count else "" for count in data["diverged"]]
    if "stopped_at" in data and data["stopped_at"].notna().any():
        cells["Stopped after (epochs)"] = ["" if at != at else f"{at:.0f}" for at in data["stopped_at"]]
    bounds = zip(data[f"{main}_low"], data[f"{main}_high"], strict=True)
    cells["95 % interval (%)"] = [numbers.between(low, high) for low, high in bounds]
    # With five classes or fewer it is 100 whatever the network answers.
    if tested and (data["test_top5_mean"] < 100).any():
        cells["Test top-5 (%)"] = [numbers.plain(mean) for mean in data["test_top5_mean"]]
    for column, name in (("params", "Params"), ("macs", "MACs")):
        if data[column].notna().any():
            cells |= [numbers.counts(name, data[column].tolist())]
    divisor, unit = numbers.time_unit(data["train_wall_s_mean"])
    cells[f"Train time ({unit})"] = [numbers.scaled(value, divisor) for value in data["train_wall_s_mean"]]
    return cells | {head: _spread(data, name, digits) for name, (head, digits, _) in _MORE.items()}


def headed(columns: dict[str, list[str]], study: Study) -> dict[str, list[str]]:
    """Label columns under the short names of their axes."""
    names = axis_names(study)
    return {names[axis][:1].upper() + names[axis][1:]: cells for axis, cells in columns.items()}


def row_names(columns: dict[str, list[str]], configurations: Iterable[int], study: Study) -> dict[str, list[str]]:
    """Heading → cells of the columns that name the rows of a table: the labels that vary among them, or, where these
    are many, the name of each row's configuration.

    Args:
        columns: axis → labels, as `label_columns` has them
        configurations: of each row
    """
    varying = {axis: cells for axis, cells in columns.items() if len(set(cells)) > 1}
    if columns and not 0 < len(varying) <= _LABELS:
        named = names(study)
        return {CONFIGURATION: [named[number] for number in configurations]}
    return headed(varying, study)


def _spread(data: "pd.DataFrame", measure: str, digits: int = 2) -> list[str]:
    pairs = zip(data[f"{measure}_mean"], data[f"{measure}_sd"], strict=True)
    return [numbers.spread(mean, sd, digits) for mean, sd in pairs]
