# predictions.csv, where `evaluate: {predictions: true}` asks for it, is written before the metrics and named in run.json;
# an output that only some runs have cannot be declared.
rule evaluate:
    input:
        data_of("evaluate"),
        networks_of("evaluate"),
    output:
        outputs_of("evaluate"),
    log:
        "results/runs/evaluate/{run}/run.log",
    conda:
        "../../envs/train.yaml"
    params:
        command=command_of("evaluate"),
    shell:
        "{params.command} 2> {log}"
