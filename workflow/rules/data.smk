rule prepare:
    output:
        "results/data/{run}.safetensors",
    log:
        "results/data/{run}.log",
    benchmark:
        "results/data/{run}.tsv"
    params:
        settings=words_of("prepare"),
    conda:
        "../../envs/train.yaml"
    shell:
        "python {SCRIPTS}/prepare_data.py {output} {params.settings} 2> {log}"
