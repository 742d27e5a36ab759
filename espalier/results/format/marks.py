"""The mark of accuracies that are optimistic: in headings where all of a study are, else behind the names of theirs."""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from espalier.results.format.notices import protocol_notice
from espalier.results.format.protocols import AXIS, MARK, PUBLISHED, mixed, optimistic
from espalier.results.read.planned_study import Study, axis_names, configurations, short_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from espalier.results.format.table import Table

_BETWEEN_LABELS = r", | · | \(|\n"


def marked(heading: str, study: Study) -> str:
    """A heading, with the mark where it is of an accuracy and all accuracies of the study are optimistic."""
    return starred(heading, study) if _of_accuracy(heading) else heading


def starred(heading: str, study: Study) -> str:
    """The heading of an accuracy that does not say so in its words, with the mark where all are optimistic."""
    return heading + MARK if optimistic(study) and not heading.endswith(MARK) else heading


def names(study: Study) -> dict[int, str]:
    """Configuration → its short name, with the mark where its accuracies are optimistic and others are not."""
    found = short_names(study)
    if mixed(study) and AXIS in study["axes"]:
        place = study["axes"].index(AXIS)
        for labels, number in configurations(study).items():
            found[number] += MARK if labels[place] == PUBLISHED else ""
    return found


def marked_table(table: "Table", study: Study) -> "Table":
    """A table with the mark in its headings or behind the label of the protocol."""
    printed = table.printed.rename(columns=lambda head: marked(head, study))
    # The numbers are read without headings and caption.
    starry = any(head.endswith(MARK) for head in printed)
    data = table.data.assign(protocol=PUBLISHED) if starry and AXIS not in table.data else table.data
    head = axis_names(study)[AXIS].capitalize() if AXIS in study.get("axes", ()) else ""
    if mixed(study) and head in printed.columns[: table.words]:
        printed[head] = [cell + MARK if cell == PUBLISHED else cell for cell in printed[head]]
    bold = {marked(head, study): flags for head, flags in table.bold.items()}
    asked_for = {marked(head, study): text for head, text in table.asked_for.items()}
    return replace(table, data=data, printed=printed, bold=bold, asked_for=asked_for)


def marked_figure(figure: "Figure", study: Study) -> "Figure":
    """A figure with the mark in its headings or behind labels of the protocol, and at its foot what the mark means."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedLocator

    from espalier.results.format import style

    if not (said := protocol_notice(study).partition(". ")[0]):
        return figure
    foot = figure.get_supxlabel()
    texts = [text for text in figure.findobj(Text) if text.get_text() not in ("", foot)]
    if not any(_of_accuracy(text.get_text()) for text in texts):
        return figure
    for text in texts:
        text.set_text(_marked_words(text.get_text(), study))
    for axis in (axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)):
        # Labels of ticks are written anew whenever they are drawn.
        if isinstance(axis.get_major_locator(), FixedLocator):
            words = [label.get_text() for label in axis.get_ticklabels()]
            axis.set_ticklabels([_marked_words(word, study) for word in words])
    style.note(figure, "\n".join(filter(None, [foot, f"{said}."])))
    return figure


def _marked_words(words: str, study: Study) -> str:
    labelled = mixed(study) and not words.endswith(MARK) and PUBLISHED in re.split(_BETWEEN_LABELS, words)
    return words + MARK if labelled else marked(words, study)


def _of_accuracy(words: str) -> bool:
    return "top-1" in words.lower() or "top-5" in words.lower()
