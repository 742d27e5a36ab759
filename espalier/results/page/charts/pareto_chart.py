"""Accuracy against a cost that the reader chooses, with the Pareto front."""

from typing import TYPE_CHECKING, Any

from espalier.results.compare.pareto import front
from espalier.results.format import style
from espalier.results.format.marks import marked, names
from espalier.results.page.charts import HEIGHT, either, haloed, specification
from espalier.results.page.leaderboard import NAMES, configuration_table
from espalier.results.read.planned_study import Study, baseline_number, headline

if TYPE_CHECKING:
    import pandas as pd


def pareto(frame: "pd.DataFrame", study: Study) -> dict[str, Any] | None:
    """Accuracy against a cost that the reader chooses, with the Pareto front; None where nothing has a result."""
    import altair as alt

    main = headline(study)
    data = configuration_table(frame, study)
    data = data[data[f"{main}_mean"].notna()]
    costs = [name for name in NAMES if (data[name] > 0).any()]
    if data.empty or not costs:
        return None
    fronts = {name: front(data[name], data[f"{main}_mean"]) for name in costs}
    named, number = names(study), baseline_number(study)
    rows = [
        {"name": named[index], "baseline": index == number, "top1": row[f"{main}_mean"], "n": row[f"{main}_n"]}
        | {"low": row[f"{main}_low"], "high": row[f"{main}_high"]}
        | {name: row[name] for name in costs}
        | {f"front_{name}": bool(fronts[name][place]) for name in costs}
        for place, (index, row) in enumerate(data.iterrows())
    ]
    # The baseline is drawn over others that coincide with it.
    rows = [{key: _plain(value) for key, value in row.items()} for row in sorted(rows, key=lambda row: row["baseline"])]
    ends = [row[key] for row in rows for key in ("low", "top1", "high") if row[key] is not None]
    room = 0.06 * (max(ends) - min(ends)) or 1.0
    reach = [max(0.0, min(ends) - room), min(100.0, max(ends) + room)]
    chosen = alt.param(
        "cost", value=costs[0], bind=alt.binding_select(options=costs, labels=[NAMES[n] for n in costs], name="Cost ")
    )
    base = (
        alt.Chart(alt.NamedData("rows"))
        .transform_calculate(x="datum[cost]", front="datum['front_' + cost]")
        .transform_filter("datum.x > 0")
    )
    split = "Test" if main == "test_top1" else "Validation"
    head = marked(f"{split} top-1", study)
    x = alt.X("x:Q", title=None, scale=alt.Scale(type="log", nice=False, padding=24), axis=alt.Axis(format="~s"))
    y = alt.Y("top1:Q", title=marked(f"{split} top-1 (%)", study), scale=alt.Scale(domain=reach, nice=False))
    tips = [alt.Tooltip("name:N", title="Configuration"), alt.Tooltip("top1:Q", title=head, format=".2f")]
    tips += [alt.Tooltip("n:Q", title="n"), alt.Tooltip("x:Q", title="Cost", format=",.4~r")]
    front_colour = alt.value(either(style.COLOURS[1], style.COLOURS[4]))
    colour = alt.condition("datum.front", front_colour, alt.value(either(style.COLOURS[0], style.COLOURS[5])))
    whiskers = base.mark_rule(opacity=0.55).encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color=colour)
    stairs = base.transform_filter("datum.front").mark_line(interpolate="step-after", strokeDash=[5, 3])
    shape = alt.condition("datum.baseline", alt.value("diamond"), alt.value("circle"))
    points = base.mark_point(filled=True, size=70, opacity=0.9).encode(x, y, color=colour, shape=shape, tooltip=tips)
    named = haloed(base.transform_filter("datum.front").encode(x, y, text="name:N"), align="left", dx=7, dy=-7)
    stairs = stairs.encode(x, y, color=front_colour)
    chart = alt.layer(stairs, whiskers, points, named, width="container", height=HEIGHT).add_params(chosen)
    return specification(chart, rows=rows)


def _plain(value: Any) -> Any:
    """A value of a frame as JSON has it; null for what is missing."""
    if isinstance(value, str | bool):
        return value
    return None if value != value else round(float(value), 6)
