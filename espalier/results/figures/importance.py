from espalier.counted import counted
from espalier.results.compare.importance import EXPLAINED, compared_scores, notes
from espalier.results.compare.importance import importance as measured
from espalier.results.format import numbers, style
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import untested
from espalier.settings.registry import register

_MOST = 30


@register("figure")
def importance(frame, history, study: dict):
    """How much of the differences in validation top-1 each axis explains: a bar each, the most important first."""
    found = measured(frame, study)
    missing = "" if found.scored == found.planned else f"Incomplete: {_counted(found)}."
    if found.refused:
        return style.nothing(f"{found.refused} {missing}".strip(), style.PAGE)
    shown = found.parts[:_MOST]
    figure, (panel,) = style.canvas(style.PAGE, 0.8 + 0.27 * len(shown), title=_title(found))
    places, pale = range(len(shown)), {} if found.readable else {"alpha": 0.35}
    panel.barh(places, [100 * part.mean for part in shown], 0.6, color=style.COLOURS[5], gid="share", **pale)
    for place, part in zip(places, shown, strict=True):
        panel.plot([100 * part.low, 100 * part.high], [place] * 2, color=style.GREY, linewidth=0.8, gid="range")
        text = f"{numbers.plain(100 * part.mean, 0)} %"
        panel.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), **_TEXT)
    panel.axvline(0, color="black", linewidth=0.6)
    panel.set_yticks(places, [part.values.head for part in shown])
    panel.set_ylim(len(shown) - 0.4, -0.6)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel("Share of the differences in validation top-1 that the setting explains (%)")
    said = f"All settings together explain R² = {numbers.plain(found.r2[0])} of the differences between configurations "
    said += f"that the forests have not seen; {_counted(found)}."
    few = "" if found.readable else f"Below {EXPLAINED:g} nothing is to be read into the bars."
    more = f"The {_MOST} of {len(found.parts)} settings that explain most." if len(found.parts) > _MOST else ""
    style.note(figure, " ".join(filter(None, [said, few, more, missing and "Incomplete."])))
    return figure


def _title(found) -> str:
    what = "How much each setting explains"
    return what if found.readable else f"{what}: too little to tell"


_TEXT = {"va": "center", "ha": "left", "fontsize": 6.5, "color": style.GREY}


def _counted(found) -> str:
    return f"{found.scored} of {counted(found.planned, 'configuration has', 'configurations have')} a score"


def caption(study: dict) -> Caption:
    """What the figure shows."""
    few = f"Where R² of all together is below {EXPLAINED:g}, read nothing into it."
    return Caption(
        "How much of the differences in validation top-1 each setting explains",
        f"Lines hold 95 % of the shuffles. {few} {compared_scores(study)}",
        f"{notes()} {untested(study)}",
        alt="A bar a setting, the most important at the top, each with a line over its range; shares to the right",
    )
