# int8.onnx, where `export: {int8: true}` asks for it, is written before the metrics and named in run.json; an output
# that only some runs have cannot be declared.
rule export:
    input:
        data=data_of("export"),
        networks=networks_of("export"),
    output:
        fp32="results/runs/export/{run}/fp32.onnx",
        formats="results/runs/export/{run}/formats.csv",
        metrics="results/runs/export/{run}/metrics.csv",
        provenance="results/runs/export/{run}/run.json",
    log:
        "results/runs/export/{run}/run.log",
    conda:
        "../../envs/train.yaml"
    params:
        words=words_of("export"),
    shell:
        "python workflow/scripts/export.py results/runs/export/{wildcards.run} {params.words}"
        " --data {input.data} 2> {log}"
