from espalier.counted import counted
from espalier.plan import published_numbers as files
from espalier.results.compare import pareto
from espalier.results.compare.axis_values import LOG_RANGE
from espalier.results.compare.comparison import grouped
from espalier.results.compare.costs import WORDS, costs, unit
from espalier.results.format import style
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.format.protocols import chosen, rest
from espalier.results.read import convergence
from espalier.results.read.planned_study import along, axis_names, baseline_number, headline, headline_words
from espalier.settings.registry import register
from espalier.settings.types import Literal

_MOST_NAMES = 16


@register("figure")
def tradeoff(
    frame,
    history,
    study: dict,
    *,
    x: Literal[
        "params",
        "macs",
        "train_time",
        "epochs_to_convergence",
        "nonzeros",
        "file_bytes",
        "latency_1",
        "latency_64",
    ] = "params",
    axis: str | None = None,
    published: str | None = None,
):
    """Test top-1 against what it costs: a point for each configuration, the mean with its 95 % interval, and the Pareto
    front.

    Args:
        x: the cost: parameters, multiply-accumulates of one image, wall time of training, epochs to convergence,
            parameters that are not zero, bytes of the network's file, or CPU latency of 1 or 64 images, where these
            were measured
        axis: key path of the axis whose values are drawn; without one, every configuration is
        published: published numbers drawn beside ours: a CSV in config/published/, without its ending, with the columns
            name, top1_pct and that of the cost
    """
    import numpy as np

    measure = headline(study)
    chosen, alone = (set(frame["configuration"]), False) if axis is None else along(study, axis)
    whole, frame = frame, frame[frame["configuration"].isin(chosen)]
    # Before others are left out: all configurations share a spread.
    data = grouped(whole, "configuration", study).loc[frame["configuration"].drop_duplicates()]
    data["cost"] = costs(frame, study, x).groupby(frame["configuration"], sort=False).mean()
    found = data[data["cost"].notna() & data[f"{measure}_mean"].notna()]
    if found.empty:
        return style.nothing(f"No configuration has a result yet ({counted(len(frame), 'run')} planned).", style.PAGE)
    divisor, label = unit(found["cost"], x)
    cost, mean = found["cost"].to_numpy() / divisor, found[f"{measure}_mean"].to_numpy()
    bounds = found[[f"{measure}_low", f"{measure}_high"]].to_numpy()
    title = f"{headline_words(study, '')} against {WORDS[x]}"
    title += "" if axis is None else f", by {axis_names(study).get(axis, axis)}"
    figure, (panel,) = style.canvas(style.PAGE, 3.6, title=title)
    pareto.draw(panel, cost, mean)
    baseline = found.index == baseline_number(study)
    for look, which in ((_LOOK, ~baseline), (_BASELINE, baseline)):
        if which.any():
            _points(panel, cost[which], mean[which], bounds[which], look)
    # On the stand-in for the data of a smoke run, nothing is to be compared with a published number.
    points = files.points(published, x) if published and study.get("scale", "full") == "full" else []
    others = np.array([(point.cost / divisor, point.top1) for point in points]).reshape(-1, 2)
    if points:
        panel.plot(*others.T, linestyle="", gid="published", **_PUBLISHED)
    panel.margins(x=0.16, y=0.08)
    everywhere = np.concatenate([cost, others[:, 0]])
    if everywhere.min() > 0 and everywhere.max() / everywhere.min() >= LOG_RANGE:
        style.log(panel.xaxis)
    style.percent(panel.yaxis)
    panel.set_xlabel(label)
    panel.set_ylabel(headline_words(study))
    notes = [style.unfinished(frame, measure)]
    called = _labels(frame, study, axis) if alone else names(study)
    first = np.concatenate([baseline | pareto.front(cost, mean), np.ones(len(points), dtype=bool)])
    words = [*(called[number] for number in found.index), *(point.name for point in points)]
    notes.append(_named(panel, everywhere, np.concatenate([mean, others[:, 1]]), first, words))
    style.note(figure, " ".join(filter(None, notes)))
    return figure


def caption(study: dict, *, x: str, axis: str | None = None, published: str | None = None) -> Caption:
    """What the figure shows."""
    split = "Test" if headline(study) == "test_top1" else "Validation"
    defined = f"{convergence.DEFINITION} " if x == convergence.COLUMN else ""
    named = "named by what differs from the baseline" if study.get("baseline") else "named by their settings"
    which = ""
    if axis is not None:
        alone = along(study, axis)[1]
        named = "named by their values" if alone else named
        which = f" by {axis_names(study).get(axis, axis)}, {rest(study, axis)}"
    theirs = ""
    if published is not None:
        source = files.source(published)
        theirs = f"Triangles are published numbers, not measured here: {source.place} of “{source.title}”. "
    return Caption(
        f"{split} top-1 against {WORDS[x]}{which}",
        f"A point is the mean of a configuration, its line the 95 % interval over seeds. {pareto.NOTE}",
        f"{theirs}Points are {named}. {defined}{pareto.MORE} {chosen(study)}",
        alt=f"A point a configuration: {WORDS[x]} to the right, top-1 upwards; a stepped line joins the best",
    )


def _labels(frame, study: dict, axis: str) -> dict[int, str]:
    """Configuration → its label on the axis alone, by which the points drawn are told apart."""
    baseline = baseline_number(study)
    labels = frame.drop_duplicates("configuration").set_index("configuration")[f"label.{axis}"]
    return {number: f"{label} (baseline)" if number == baseline else label for number, label in labels.items()}


_LOOK = {"color": style.COLOURS[0], "marker": "o"}
_BASELINE = {"color": style.COLOURS[1], "marker": "D"}
_PUBLISHED = {"color": style.GREY, "marker": "^", "markerfacecolor": "none"}


def _points(panel, cost, mean, bounds, look: dict) -> None:
    style.intervals(panel, cost, *bounds.T, look["color"])
    panel.plot(cost, mean, linestyle="", gid="configuration", **look)


def _named(panel, cost, mean, first, names: list[str]) -> str:
    """Write the names of points, those that are `first` before the others; a note if some have no room."""
    import numpy as np

    from espalier.results.format.point_labels import place

    order = np.lexsort((-mean, ~first))
    spots = [((cost[index], mean[index]), panel.transData) for index in order]
    left = place(panel, spots, [names[index] for index in order[:_MOST_NAMES]])
    unnamed = len(left) + max(0, len(names) - _MOST_NAMES)
    return (
        f"{len(names) - unnamed} of {len(names)} points are named: those of the front, the baseline, then the best."
        if unnamed
        else ""
    )
