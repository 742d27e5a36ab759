localrules:
    zoo,


rule count_networks:
    input:
        # A model added or changed is counted anew.
        sorted(map(str, Path("espalier/models").glob("[!_]*.py"))),
        [str(path) for path in plugins.files()],
    output:
        "results/zoo/networks.csv",
        "results/zoo/depth.csv",
        "results/zoo/standards.csv",
    log:
        "results/zoo/logs/count.log",
    benchmark:
        "results/zoo/logs/count.tsv"
    conda:
        "../../envs/train.yaml"
    shell:
        "python workflow/scripts/count_zoo.py count 2> {log}"


rule show_networks:
    input:
        rules.count_networks.output,
    output:
        tables=directory("results/zoo/tables"),
        figures=directory("results/zoo/figures"),
        page="results/zoo/index.html",
    log:
        "results/zoo/logs/show.log",
    conda:
        "../../envs/report.yaml"
    shell:
        "python workflow/scripts/count_zoo.py show 2> {log}"


rule zoo:
    input:
        rules.show_networks.output,
    log:
        "results/zoo/logs/zoo.log",
    conda:
        "../../envs/report.yaml"
    shell:
        "cat results/zoo/tables/networks.md | tee {log}"
