from collections.abc import Iterable
from textwrap import fill
from typing import TYPE_CHECKING

from espalier.counted import counted
from espalier.results.compare.comparison import grouped, label_columns
from espalier.results.format import numbers, style
from espalier.results.format.captions import Caption
from espalier.results.format.protocols import mixed, optimistic
from espalier.results.read.planned_study import axis_names, headline
from espalier.settings.registry import register

if TYPE_CHECKING:
    import pandas as pd

_MOST = 60
"""Configurations whose names can be read on one page."""
_ASIDE = 0.17
"""Part of a row from its middle to each interval."""
_LONG = 76
"""Letters of a line of a name that takes half the page."""


@register("figure")
def tuning(frame, history, study: dict):
    """Every configuration as a bar, named by its settings, the best on validation first."""
    data = grouped(frame, "configuration", study)
    done = data[data["validation_top1_n"] > 0]
    if done.empty:
        return style.nothing(f"No configuration has a result yet ({counted(len(frame), 'run')} planned).", style.PAGE)
    shown = done.nlargest(_MOST, "validation_top1_mean", keep="first")
    tested = headline(study) == "test_top1"
    title = f"Validation {'and test ' if tested else ''}top-1 by configuration, the best by validation first"
    labels = label_columns(frame, shown.index, study)
    names = [_folded(row) for row in zip(*labels.values(), strict=True)] or [study["study"]]
    lines = 1 + max(name.count("\n") for name in names)
    figure, (panel,) = style.canvas(style.PAGE, 0.9 + (0.09 * lines + 0.055) * len(shown), title=title)
    _bars(panel, shown, tested)
    heads = [axis_names(study)[axis] for axis in labels]
    panel.set_yticks(range(len(shown)), names, fontsize=6)
    figure.get_layout_engine().set(w_pad=0.12)
    above = {"xytext": (-5, 2), "xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    panel.annotate(_folded(heads), (0, 1), ha="right", va="bottom", fontsize=6, **above)
    panel.set_ylim(len(shown) - 0.4, -0.6)
    panel.set_xlabel("Top-1 (%)")
    panel.grid(visible=False, axis="y")
    style.legend(figure, *panel.get_legend_handles_labels())
    notes = [style.unfinished(frame, "validation_top1")]
    notes += [f"The best {_MOST} of {len(done)} configurations."] if len(done) > _MOST else []
    style.note(figure, " ".join(filter(None, notes)))
    return figure


def _folded(labels: Iterable[str]) -> str:
    """Labels in one line or more; each stays whole."""
    whole = "\N{NO-BREAK SPACE}"
    return fill(f"{whole}· ".join(label.replace(" ", whole) for label in labels), _LONG).replace(whole, " ")


def _bars(panel, shown: "pd.DataFrame", tested: bool) -> None:
    places = range(len(shown))
    panel.barh(
        places, shown["validation_top1_mean"], 0.72, color=style.COLOURS[5], label="validation", gid="validation"
    )
    both = tested and shown["test_top1_mean"].notna().any()
    # Apart, where the intervals of both would lie on each other.
    aside = _ASIDE if both and shown["test_top1_low"].notna().any() else 0.0
    drawn = {"validation_top1": (-aside, style.GREY)}
    if both:
        drawn["test_top1"] = (aside, style.COLOURS[1])
        look = {"color": style.COLOURS[1], "markersize": 2.8, "label": "test", "gid": "test"}
        panel.plot(shown["test_top1_mean"], [place + aside for place in places], "D", **look)
    for measure, (aside, colour) in drawn.items():
        for place, low, high in zip(places, shown[f"{measure}_low"], shown[f"{measure}_high"], strict=True):
            # Intervals of single runs are missing and draw nothing.
            panel.plot([low, high], [place + aside] * 2, color=colour, linewidth=0.7, gid="interval")
    for place, value in zip(places, shown["validation_top1_mean"], strict=True):
        panel.annotate(numbers.plain(value), (1.01, place), xycoords=("axes fraction", "data"), **_TEXT)
    ends = shown[[f"{measure}_{end}" for measure in drawn for end in ("mean", "low", "high")]]
    least, most = ends.min().min(), ends.max().max()
    # Bars that begin at zero would all look alike.
    room = 0.06 * max(most - least, 1.0)
    panel.set_xlim(least - 2 * room, most + room)
    style.percent(panel.xaxis)


_TEXT = {"va": "center", "ha": "left", "fontsize": 6, "color": style.GREY}


def caption(study: dict) -> Caption:
    """What the figure shows."""
    tested = "The mark is its test top-1, which has no say in the order." if headline(study) == "test_top1" else ""
    split, here = "the same validation split", "the validation top-1 of the first is"
    if optimistic(study):
        tested = tested.replace("which has no say in the order", "of the same images")
        split, here = "the same images, the test split", "all of it is"
    elif mixed(study):
        tested = tested.replace("order.", "order where the protocol is clean.")
        split += ", under the protocol published the test split"
    return Caption(
        "Validation top-1 of every configuration, the best first",
        f"{tested} The axis does not begin at zero.".strip(),
        "Settings stand in the order of the heading. Means over the repeats, each with its 95 % interval over seeds of "
        f"two or more. The epoch is chosen on {split}, and so is the best configuration, so that {here} optimistic.",
        alt="A bar a configuration with its interval, the best at the top; validation top-1 to the right",
    )
