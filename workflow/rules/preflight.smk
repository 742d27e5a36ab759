localrules:
    preflight,


# Another profile, or no study at all: python workflow/scripts/preflight.py --profile profiles/mine
rule preflight:
    log:
        "results/preflight.log",
    conda:
        "../../envs/report.yaml"
    shell:
        "python workflow/scripts/preflight.py | tee {log}"
