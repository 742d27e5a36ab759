rule prune:
    input:
        data=data_of("prune"),
        networks=networks_of("prune"),
    output:
        model="results/runs/prune/{run}/model.safetensors",
        architecture="results/runs/prune/{run}/model.json",
        history="results/runs/prune/{run}/history.csv",
        rounds="results/runs/prune/{run}/rounds.csv",
        layers="results/runs/prune/{run}/layers.csv",
        metrics="results/runs/prune/{run}/metrics.csv",
        provenance="results/runs/prune/{run}/run.json",
    log:
        "results/runs/prune/{run}/run.log",
    priority: longest_first
    conda:
        "../../envs/train.yaml"
    # A core for each of the processes at least, which share what is given; fine_tune.processes starts them.
    threads: processes_of("prune", "fine_tune")
    resources:
        # What a job on several nodes asks SLURM for; the script starts its steps there.
        **over_nodes("prune", "fine_tune"),
        # Longest work that a killed run can lose; changes no result.
        checkpoint_minutes=10,
        # Minutes after which the job is ended; the run saves its state and stops before. 0: no limit.
        runtime=0,
    params:
        words=words_of("prune"),
    shell:
        "python workflow/scripts/prune.py results/runs/prune/{wildcards.run} {params.words} --data {input.data}"
        " --checkpoint-minutes {resources.checkpoint_minutes} --minutes {resources.runtime}"
        " 2> {log}"
