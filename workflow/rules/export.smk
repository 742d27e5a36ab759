# int8.onnx, where `export: {int8: true}` asks for it, is written before the metrics and named in run.json; an output
# that only some runs have cannot be declared.
rule export:
    input:
        data_of("export"),
        networks_of("export"),
    output:
        outputs_of("export"),
    log:
        "results/runs/export/{run}/run.log",
    conda:
        "../../envs/train.yaml"
    params:
        command=command_of("export"),
    shell:
        "{params.command} 2> {log}"
