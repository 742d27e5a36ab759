"""Captions of tables and figures: a title, sentences a reader needs, and notes on how the numbers were made."""

from typing import NamedTuple


class Caption(NamedTuple):
    """Four texts, from the one that all read to the one that few do."""

    title: str
    """what is shown, without a full stop; the heading on a page"""
    text: str = ""
    """sentences that a reader needs to read it rightly; with the title at most 40 words"""
    notes: str = ""
    """sentences on how the numbers came about: behind a click on a page, in a comment in LaTeX"""
    alt: str = ""
    """of a figure: what it looks like, for a reader who cannot see it, without a full stop"""

    def whole(self) -> str:
        """All of it as one paragraph, the title its first sentence."""
        return " ".join(filter(None, [f"{self.title}.", self.text, self.notes]))

    def short(self) -> str:
        """Title and text."""
        return " ".join(filter(None, [f"{self.title}.", self.text]))

    def with_text(self, *more: str) -> "Caption":
        """The same with more sentences in its text."""
        return self._replace(text=" ".join(filter(None, [self.text, *more])))

    def with_notes(self, *more: str) -> "Caption":
        """The same with more sentences in its notes."""
        return self._replace(notes=" ".join(filter(None, [self.notes, *more])))
