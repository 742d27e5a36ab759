rule evaluate:
    input:
        data_of("evaluate"),
        networks_of("evaluate"),
    output:
        record_of("evaluate"),
    log:
        "results/runs/evaluate/{run}/run.log",
    conda:
        "../../envs/train.yaml"
    resources:
        # A run that failed of a mistake is not begun a second time.
        attempt=attempt_number,
    params:
        command=command_of("evaluate"),
    shell:
        "{params.command} --attempt {resources.attempt} 2> {log}"
