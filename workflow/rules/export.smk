rule export:
    input:
        data_of("export"),
        networks_of("export"),
    output:
        record_of("export"),
    log:
        "results/runs/export/{run}/run.log",
    conda:
        "../../envs/train.yaml"
    resources:
        # A run that failed of a mistake is not begun a second time.
        attempt=attempt_number,
    params:
        command=command_of("export"),
    shell:
        "{params.command} --attempt {resources.attempt} 2> {log}"
