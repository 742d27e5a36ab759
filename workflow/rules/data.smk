rule prepare:
    output:
        "results/data/{run}.safetensors",
    log:
        "results/data/{run}.log",
    benchmark:
        "results/data/{run}.tsv"
    conda:
        "../../envs/train.yaml"
    params:
        settings=words_of("prepare"),
    shell:
        "python workflow/scripts/prepare_data.py {output} {params.settings} 2> {log}"
