rule prepare:
    output:
        "results/data/{run}.safetensors",
    log:
        "results/data/{run}.log",
    benchmark:
        "results/data/{run}.tsv"
    conda:
        "../../envs/train.yaml"
    # Images are decoded and resized side by side; their number changes no byte.
    threads: 4
    params:
        words=words_of("prepare"),
    shell:
        "python workflow/scripts/prepare_data.py {output} --threads {threads} {params.words} 2> {log}"
