"""What lies on disk, as data: the plan of a study, the state of its runs, their metrics in one frame."""
