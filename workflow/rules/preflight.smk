localrules:
    preflight,


# Another profile, or no study at all: espalier preflight --profile profiles/mine
rule preflight:
    log:
        "results/preflight.log",
    conda:
        "../../envs/report.yaml"
    shell:
        "python -m espalier preflight | tee {log}"
