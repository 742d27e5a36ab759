"""What a call of Snakemake says in the terminal; its log in .snakemake/log holds the rest, as without this logger.

Snakemake finds the package by its name, and profiles/default/config.yaml chooses it. It imports nothing of Espalier:
the workflow brings what tells a record, once it has a plan (workflow/rules/terminal.smk). In a job Snakemake makes no
logger of this kind.
"""

import os
import sys
from collections.abc import Callable
from logging import WARNING, LogRecord
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.base import LogHandlerBase

Teller = Callable[[LogRecord], str | None]


class LogHandler(LogHandlerBase):
    """Writes what a teller makes of a record, and what Snakemake makes of it where there is none.

    Whoever asks Snakemake for more or less than usual (-p, --verbose, --debug-dag, --quiet) gets what Snakemake says.
    """

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        asked = self.common_settings
        quiet = set(asked.quiet or ())
        self._told_by: Teller | None = None
        self._as_usual = not (asked.printshellcmds or asked.verbose or asked.debug_dag or quiet - {Quietness.HOST})
        self._plain = _Sparse(asked, quiet)

    @property
    def coloured(self) -> bool:
        """Whether the terminal shows colours, and is to."""
        return not self._plain.nocolor

    def tell_by(self, teller: Teller) -> None:
        """Have a teller say what is written of each record: nothing where it is empty, what Snakemake would write where
        it is None."""
        if self._as_usual:
            self._told_by = teller

    def emit(self, record: LogRecord) -> None:
        try:
            text = self._told_by(record) if self._told_by else None
            if text is None:
                self._plain.handle(record)
            elif text:
                self._plain.stream.write(f"{text}\n")
                self._plain.flush()
        except BrokenPipeError:
            # Nobody reads on, as after `| head`; the runs go on.
            self._told_by = _nothing
        except Exception:
            # The thread of the loggers must not end.
            self.handleError(record)


class _Sparse(ColorizingTextHandler):
    """Snakemake's own words, of which warnings and errors alone have a colour."""

    def __init__(self, asked: Any, quiet: set[Quietness]) -> None:
        super().__init__(
            stream=sys.stdout if asked.stdout else sys.stderr,
            nocolor=asked.nocolor or bool(os.environ.get("NO_COLOR")),
            formatter=DefaultFormatter(quiet, asked.show_failed_logs),
            filter=DefaultFilter(quiet, asked.debug_dag, asked.verbose, asked.dryrun, asked.printshellcmds),
        )

    def decorate(self, record: LogRecord, message: str) -> str:
        return super().decorate(record, message) if record.levelno >= WARNING else message


def _nothing(record: LogRecord) -> str:
    return ""
