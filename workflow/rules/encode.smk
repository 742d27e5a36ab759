rule encode:
    input:
        data_of("encode"),
        networks_of("encode"),
    output:
        outputs_of("encode"),
    log:
        "results/runs/encode/{run}/run.log",
    conda:
        "../../envs/train.yaml"
    params:
        command=command_of("encode"),
    shell:
        "{params.command} 2> {log}"
