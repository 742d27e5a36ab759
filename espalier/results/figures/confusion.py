from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.results.format import style
from espalier.results.format.captions import Caption
from espalier.results.format.marks import names
from espalier.results.read import evaluations
from espalier.results.read.planned_study import unit
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd

_MOST = 20
"""Classes whose names and numbers can still be read."""
_OTHERS = "others"
_SHORT = 6
"""Letters of a name that stands below its column without being turned."""
_PALE = "#EEEEEE"


@register("figure", stage="evaluate", metric="confusion")
def confusion(frame, history, study: dict, *, configuration: dict[str, str] | None = None):
    """Which classes of the test split one configuration took for which.

    Args:
        configuration: axis → label of the configuration that is shown; axes that are not named, and all of them with
            null, have the study's own setting
    """
    number = evaluations.shown(study, configuration)
    own = frame[frame["configuration"] == number]
    rows = evaluations.table(own, study, "confusion", ("label", "predicted"))
    name = names(study)[number]
    if rows.empty:
        return style.nothing(f"No evaluation of {name} has measured this yet ({len(own)} planned).", style.PAGE)
    shares = _shares(rows)
    chosen = _chosen(shares)
    others = shares.drop(columns=chosen).loc[chosen].sum(axis=1)
    shown = shares.loc[chosen, chosen]
    if len(chosen) < len(shares):
        shown = shown.assign(**{_OTHERS: others})
    title = f"Answers by class of the test split (% of each class): {name}"
    figure, (panel,) = style.canvas(style.PAGE, 1.0 + 0.24 * max(6, len(shown)), title=title)
    _draw(panel, shown)
    done, images = rows["repeat"].nunique(), int(rows[rows["repeat"] == rows["repeat"].iloc[0]]["images"].sum())
    notes = [f"n = {counted(done, 'repeat')} of {counted(images, 'test image')}.", style.missing(done, len(own))]
    if len(chosen) < len(shares):
        notes.append(f"The {_MOST} of {len(shares)} classes that are recognized least.")
    style.note(figure, " ".join(filter(None, notes)))
    return figure


def _shares(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Percent of the images of each class (rows) that were taken for each (columns), a mean over the repeats."""
    order = list(dict.fromkeys(rows["label"]))
    counts = rows.pivot_table("images", ["repeat", "label"], "predicted", aggfunc="sum", fill_value=0.0)
    found = counts.div(counts.sum(axis=1), axis=0).groupby(level="label").mean()
    return 100 * found.reindex(index=order, columns=order, fill_value=0.0)


def _chosen(shares: "pd.DataFrame") -> list[str]:
    """The classes that are drawn, in their order."""
    if len(shares) <= _MOST:
        return shares.index.tolist()
    recall = {name: shares.loc[name, name] for name in shares.index}
    least = sorted(recall, key=lambda name: recall[name])[:_MOST]
    return [name for name in shares.index if name in least]


def _draw(panel, shown: "pd.DataFrame") -> None:
    from matplotlib import colormaps

    errors = [
        value
        for label, row in shown.iterrows()
        for predicted, value in row.items()
        if predicted != label and value == value
    ]
    most = max(errors, default=0.0) or 1.0
    for y, (label, row) in enumerate(shown.iterrows()):
        for x, (predicted, value) in enumerate(row.items()):
            right = predicted == label
            colour = _PALE if right else colormaps["Blues"](value / most)
            panel.fill_between([x - 0.5, x + 0.5], y - 0.5, y + 0.5, color=colour, linewidth=0)
            if value > 0 or right:
                ink = "white" if not right and value > 0.6 * most else "black"
                text = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
                look = {"ha": "center", "va": "center", "fontsize": 6, "color": ink}
                panel.annotate(text, (x, y), gid="right" if right else "wrong", **look)
    long = max(map(len, shown.columns)) > _SHORT
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if long else {}
    panel.set_xticks(range(shown.shape[1]), list(shown.columns), **turned)
    panel.set_yticks(range(len(shown)), list(shown.index))
    panel.set_xlim(-0.5, shown.shape[1] - 0.5)
    panel.set_ylim(len(shown) - 0.5, -0.5)
    panel.grid(visible=False)
    panel.tick_params(length=0)
    panel.set_xlabel("Answered")
    panel.set_ylabel("Class")


def caption(study: dict, *, configuration: dict[str, str] | None) -> Caption:
    """What the figure shows."""
    which = names(study)[evaluations.shown(study, configuration)]
    return Caption(
        f"Which classes of the test split were taken for which: {which}",
        "A row is a class, a column an answer; numbers are percent of the images of the class. Colours are those of "
        "the mistakes alone.",
        f"Means over repeats ({unit(study)}). The pale diagonal is what was right.",
        alt="A matrix with a row a class and a column an answer; darker cells are more frequent mistakes",
    )
