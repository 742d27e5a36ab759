"""Runs as other programs show them: finished ones in MLflow, and trainings under way."""
