localrules:
    mlflow,


# Needs `uv sync --group trackers`; nothing else does. Always looks, and adds what is new.
rule mlflow:
    input:
        study_plans(),
    log:
        "results/mlflow.log",
    conda:
        "../../envs/trackers.yaml"
    shell:
        "python workflow/scripts/mlflow_import.py results/mlflow.db --plan {input} 2>&1 | tee {log}"
