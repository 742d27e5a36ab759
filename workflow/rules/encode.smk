rule encode:
    input:
        data_of("encode"),
        networks_of("encode"),
    output:
        record_of("encode"),
    log:
        "results/runs/encode/{run}/run.log",
    conda:
        "../../envs/train.yaml"
    resources:
        # A run that failed of a mistake is not begun a second time.
        attempt=attempt_number,
    params:
        command=command_of("encode"),
    shell:
        "{params.command} --attempt {resources.attempt} 2> {log}"
