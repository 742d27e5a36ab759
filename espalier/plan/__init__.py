"""From study files to runs: registry → specs → grid → plan. Nothing in this room imports torch."""
