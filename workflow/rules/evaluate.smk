# predictions.csv, where `evaluate: {predictions: true}` asks for it, is written before the metrics and named in
# run.json; an output that only some runs have cannot be declared.
rule evaluate:
    input:
        data=data_of("evaluate"),
        networks=networks_of("evaluate"),
    output:
        metrics="results/runs/evaluate/{run}/metrics.csv",
        scores="results/runs/evaluate/{run}/scores.csv",
        provenance="results/runs/evaluate/{run}/run.json",
    log:
        "results/runs/evaluate/{run}/run.log",
    conda:
        "../../envs/train.yaml"
    params:
        words=words_of("evaluate"),
    shell:
        "python workflow/scripts/evaluate.py results/runs/evaluate/{wildcards.run} {params.words}"
        " --data {input.data} 2> {log}"
