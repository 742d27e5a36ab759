localrules:
    mlflow,


# Needs `uv sync --group trackers`; nothing else does. Always looks, and adds what is new.
rule mlflow:
    log:
        "results/mlflow.log",
    conda:
        "../../envs/trackers.yaml"
    params:
        plans=study_plans(),
    shell:
        "python workflow/scripts/mlflow_import.py results/mlflow.db --plan {params.plans} 2>&1 | tee {log}"
