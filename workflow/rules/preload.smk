# Runs on this machine are forked by a process that has imported torch. Jobs of a cluster start where it is not.
from espalier.site.preload import server


onstart:
    if (
        workflow.local_exec
        and workflow.is_main_process
        and server.wanted(SETTINGS.preload)
    ):
        server.begin()
