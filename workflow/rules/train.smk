rule train:
    input:
        data=parent_of("train"),
        checkpoint=checkpoint_of,
    output:
        model="results/runs/train/{run}/model.safetensors",
        architecture="results/runs/train/{run}/model.json",
        history="results/runs/train/{run}/history.csv",
        metrics="results/runs/train/{run}/metrics.csv",
        provenance="results/runs/train/{run}/run.json",
    log:
        "results/runs/train/{run}/run.log",
    priority: longest_first
    conda:
        "../../envs/train.yaml"
    # A core for each of the processes at least, which share what is given; train.processes starts them.
    threads: processes_of("train", "train")
    resources:
        # What a job on several nodes asks SLURM for; the script starts its steps there.
        **over_nodes("train", "train"),
        # Longest work that a killed run can lose; changes no result.
        checkpoint_minutes=10,
        # Minutes after which the job is ended; the run saves its state and stops before. 0: no limit.
        runtime=0,
    params:
        words=words_of("train"),
    shell:
        "python workflow/scripts/train.py results/runs/train/{wildcards.run} {params.words} --data {input.data}"
        " --checkpoint-minutes {resources.checkpoint_minutes} --minutes {resources.runtime}"
        " 2> {log}"
