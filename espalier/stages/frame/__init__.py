"""What all stages share: the command line, the processes, the state of a run, its record and its exit code."""
