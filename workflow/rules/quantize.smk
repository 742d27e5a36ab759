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
    benchmark:
        "results/runs/quantize/{run}/benchmark.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        # Longest work that a killed run can lose; changes no result.
        checkpoint_minutes=10,
    params:
        folder=subpath(output.metrics, parent=True),
        parent=parent_of("quantize"),
        settings=words_of("quantize"),
    shell:
        "python workflow/scripts/quantize.py {params.folder} --parent {params.parent} --data {input.data}"
        " --checkpoint-minutes {resources.checkpoint_minutes} {params.settings} 2> {log}"
