# With profiles/pilot several runs share a GPU: they claim its slots themselves, the longest run first.
from espalier.plan.priorities import priorities
from espalier.site.pilot.board import Pilot

# A dry run has no limits, and so no slots.
SLOTS = getattr(workflow.global_resources.get("gpu_slot"), "value", None)
if SLOTS and workflow.is_main_process:
    os.environ.update(Pilot.of(SLOTS, workflow.cores).environment)
PRIORITIES = priorities(PLAN) if SLOTS else {}

# Priority function of the stages that train; 0 where no slots are shared.
longest_first = (lambda wildcards: PRIORITIES.get(wildcards.run, 0)) if SLOTS else 0
