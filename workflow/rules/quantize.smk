rule quantize:
    input:
        data=data_of("quantize"),
        networks=networks_of("quantize"),
    output:
        model="results/runs/quantize/{run}/model.safetensors",
        architecture="results/runs/quantize/{run}/model.json",
        levels="results/runs/quantize/{run}/levels.safetensors",
        cells="results/runs/quantize/{run}/cells.safetensors",
        grid="results/runs/quantize/{run}/grid.csv",
        history="results/runs/quantize/{run}/history.csv",
        metrics="results/runs/quantize/{run}/metrics.csv",
        provenance="results/runs/quantize/{run}/run.json",
    log:
        "results/runs/quantize/{run}/run.log",
    priority: longest_first
    conda:
        "../../envs/train.yaml"
    resources:
        # Longest work that a killed run can lose; changes no result.
        checkpoint_minutes=10,
        # Minutes after which the job is ended; the run saves its state and stops before. 0: no limit.
        runtime=0,
    params:
        words=words_of("quantize"),
    shell:
        "python workflow/scripts/quantize.py results/runs/quantize/{wildcards.run} {params.words} --data {input.data}"
        " --checkpoint-minutes {resources.checkpoint_minutes} --minutes {resources.runtime}"
        " 2> {log}"
