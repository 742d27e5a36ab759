rule train:
    input:
        data_of("train"),
        networks_of("train"),
    output:
        record_of("train"),
    log:
        "results/runs/train/{run}/run.log",
    priority: longest_first
    conda:
        "../../envs/train.yaml"
    # A core for each of the processes at least, which share what is given; the run starts them.
    threads: processes_of("train")
    resources:
        # What a job on several nodes asks SLURM for; the run starts its steps there.
        **over_nodes("train"),
        # A run that failed of a mistake is not begun a second time.
        attempt=attempt_number,
        # Longest work that a killed run can lose; changes no result.
        checkpoint_minutes=10,
        # Minutes after which the job is ended; the run saves its state and stops before. 0: no limit.
        runtime=0,
    params:
        command=command_of("train"),
    shell:
        "{params.command} --attempt {resources.attempt} --checkpoint-minutes {resources.checkpoint_minutes}"
        " --minutes {resources.runtime} 2> {log}"
