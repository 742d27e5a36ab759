# predictions.csv, where `evaluate: {predictions: true}` asks for it, is written before the metrics and named in
# run.json; an output that only some runs have cannot be declared.
rule evaluate:
    input:
        data=data_of("evaluate"),
        model=lambda wildcards: f"{parent_of('evaluate')(wildcards)}/model.safetensors",
        architecture=lambda wildcards: f"{parent_of('evaluate')(wildcards)}/model.json",
    output:
        metrics="results/runs/evaluate/{run}/metrics.csv",
        provenance="results/runs/evaluate/{run}/run.json",
    log:
        "results/runs/evaluate/{run}/run.log",
    benchmark:
        "results/runs/evaluate/{run}/benchmark.tsv"
    conda:
        "../../envs/train.yaml"
    params:
        folder=subpath(output.metrics, parent=True),
        parent=subpath(input.model, parent=True),
        settings=words_of("evaluate"),
    shell:
        "python workflow/scripts/evaluate.py {params.folder} --parent {params.parent} --data {input.data}"
        " {params.settings} 2> {log}"
