from espalier.counted import counted
from espalier.results.format import line_ends, style
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.format.protocols import untested
from espalier.results.read import rungs
from espalier.settings.registry import register

_NAMED = 6
"""Configurations whose lines bear their names, those that came furthest."""


@register("figure", halving=True)
def halving(frame, history, study: dict):
    """Every configuration from rung to rung of `halving`: a line ends where its configuration was dropped."""
    data, epochs = rungs.rung_scores(frame, study)
    columns = [f"epoch_{each}" for each in epochs]
    known = data.dropna(subset=columns[:1]) if columns else data.iloc[:0]
    if known.empty:
        return style.nothing(f"No rung is decided yet ({counted(len(data), 'configuration')} planned).", style.PAGE)
    figure, (panel,) = style.canvas(style.PAGE, 3.0, title="Best validation so far by configuration, from rung to rung")
    named = names(study)
    # Those that came furthest last, and so on top.
    order = known.sort_values(columns[::-1], na_position="first", kind="stable").index
    ends = {}
    for place, configuration in enumerate(reversed(order)):
        values = known.loc[configuration, columns].dropna()
        reached = [epochs[columns.index(name)] for name in values.index]
        look = style.look(place) if place < _NAMED else {"color": "#999999", "marker": "o", "linestyle": "-"}
        whole = len(values) == len(columns)
        shown = {"alpha": 1.0 if whole else 0.55, "linewidth": 1.3 if whole else 0.8, "markersize": 3.5}
        (line,) = panel.plot(reached, values, zorder=3 - place / len(order), gid="configuration", **(look | shown))
        if place < _NAMED:
            ends[named[configuration]] = line
    style.log(panel.xaxis)
    panel.set_xticks(epochs, [str(each) for each in epochs])
    panel.set_xlabel("Epoch")
    panel.set_ylabel("Validation (%)")
    style.percent(panel.yaxis)
    lines = {name: line.get_xydata() for name, line in ends.items()}
    if not line_ends.inside(panel, lines, {name: line.get_color() for name, line in ends.items()}):
        style.legend(figure, list(ends.values()), list(ends))
    dropped = int(data["stopped_at"].notna().sum())
    configurations = counted(len(data), "configuration was", "configurations were")
    style.note(figure, f"{dropped} of {configurations} stopped; pale lines end there.")
    return figure


def caption(study: dict) -> Caption:
    """What the figure shows."""
    return Caption(
        "Best validation so far by configuration, from rung to rung",
        f"{rungs.whose(study)} of each configuration. A line ends where it was dropped, since others were better.",
        f"Rungs stand on a logarithmic scale of epochs. {untested(study)}",
        alt="Lines over epochs, many at the left and few at the right; validation upwards",
    )
