rule quantize:
    input:
        data_of("quantize"),
        networks_of("quantize"),
    output:
        record_of("quantize"),
    log:
        "results/runs/quantize/{run}/run.log",
    priority: longest_first
    conda:
        "../../envs/train.yaml"
    resources:
        # A run that failed of a mistake is not begun a second time.
        attempt=attempt_number,
        # Longest work that a killed run can lose; changes no result.
        checkpoint_minutes=10,
        # Minutes after which the job is ended; the run saves its state and stops before. 0: no limit.
        runtime=0,
    params:
        command=command_of("quantize"),
    shell:
        "{params.command} --attempt {resources.attempt} --checkpoint-minutes {resources.checkpoint_minutes}"
        " --minutes {resources.runtime} 2> {log}"
