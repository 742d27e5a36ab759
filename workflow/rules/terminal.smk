# What the terminal shows of a call or a dry run, by the logger that profiles/default names. Jobs have no such logger.
from espalier.results.terminal.call_report import CallReport
from espalier.results.terminal.dry_run import DryRun

CALL_REPORTS = []

for logger_of_call in workflow.logger_manager.get_log_handlers():
    # Another logger may have been asked for, with --logger.
    if hasattr(logger_of_call, "tell_by"):
        planned = [manifest_of(study) for study in PLAN.studies]
        if workflow.output_settings.dryrun:
            logger_of_call.tell_by(DryRun(planned))
        elif CALL:
            CALL_REPORTS.append(
                CallReport(
                    planned,
                    submits=CALL != "local",
                    coloured=logger_of_call.coloured,
                )
            )
            logger_of_call.tell_by(CALL_REPORTS[-1])
