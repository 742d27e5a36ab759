"""Configurations held against each other: means and intervals, tests, verdicts, Pareto fronts."""
