rule encode:
    input:
        data=data_of("encode"),
        networks=networks_of("encode"),
    output:
        coded="results/runs/encode/{run}/model.esp",
        anatomy="results/runs/encode/{run}/anatomy.csv",
        ladder="results/runs/encode/{run}/ladder.csv",
        metrics="results/runs/encode/{run}/metrics.csv",
        provenance="results/runs/encode/{run}/run.json",
    log:
        "results/runs/encode/{run}/run.log",
    conda:
        "../../envs/train.yaml"
    params:
        words=words_of("encode"),
    shell:
        "python workflow/scripts/encode.py results/runs/encode/{wildcards.run} {params.words}"
        " --data {input.data} 2> {log}"
