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
        command=command_of("prepare"),
    shell:
        ": > {log}; {params.command} --threads {threads} 2>> {log} | tee -a {log}"
