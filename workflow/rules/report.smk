localrules:
    study_plan,
    tabulate,
    plot,
    page,
    report,
    partial,
    status,


rule study_plan:
    output:
        "results/studies/{study}/plan.json",
    params:
        source=lambda wildcards: PLAN.studies[wildcards.study].source,
        overrides=json.dumps(OVERRIDES, sort_keys=True),
        digest=lambda wildcards: manifest.digest(PLAN.studies[wildcards.study]),
    conda:
        "../../envs/report.yaml"
    shell:
        "python {SCRIPTS}/plan.py {output} {params.source:q} --overrides {params.overrides:q}"


rule tabulate:
    input:
        study_runs,
        plan=rules.study_plan.output,
    output:
        runs="results/studies/{study}/runs.csv",
        tables=report(
            directory("results/studies/{study}/tables"),
            patterns=["{table}.html"],
            caption="../report/table.rst",
            category="{study}",
            subcategory="Tables",
            labels={"table": "{table}"},
        ),
    log:
        "results/studies/{study}/logs/tabulate.log",
    params:
        folder=subpath(output.runs, parent=True),
    conda:
        "../../envs/report.yaml"
    shell:
        "python {SCRIPTS}/tabulate.py {params.folder} --plan {input.plan} 2> {log}"


rule plot:
    input:
        study_runs,
        plan=rules.study_plan.output,
    output:
        report(
            directory("results/studies/{study}/figures"),
            patterns=["{figure}.png"],
            caption="../report/figure.rst",
            category="{study}",
            subcategory="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/studies/{study}/logs/plot.log",
    params:
        folder=subpath(output[0], parent=True),
    conda:
        "../../envs/report.yaml"
    shell:
        "python {SCRIPTS}/plot.py {params.folder} --plan {input.plan} 2> {log}"


rule page:
    input:
        plan=rules.study_plan.output,
        runs=rules.tabulate.output.runs,
        tables=rules.tabulate.output.tables,
        figures=rules.plot.output,
    output:
        "results/studies/{study}/index.html",
    log:
        "results/studies/{study}/logs/page.log",
    conda:
        "../../envs/report.yaml"
    shell:
        "python {SCRIPTS}/report.py {output} --plan {input.plan} 2> {log}"


rule report:
    input:
        study_pages(),
    output:
        "results/report.zip",
    log:
        "results/report.log",
    params:
        config=lambda wildcards: json.dumps(config, sort_keys=True),
    shell:
        "printf %s {params.config:q} > {log}.config.json &&"
        " snakemake --snakefile {workflow.snakefile:q} --configfile {log}.config.json --nolock --report {output} all 2> {log}"


rule partial:
    input:
        expand("results/studies/{study}/plan.json", study=PLAN.studies),
    shell:
        "for plan in {input}; do"
        " folder=results/partial/$(basename $(dirname $plan));"
        " python {SCRIPTS}/tabulate.py $folder --plan $plan && python {SCRIPTS}/plot.py $folder --plan $plan"
        " && python {SCRIPTS}/report.py $folder/index.html --plan $plan; done"


rule status:
    input:
        expand("results/studies/{study}/plan.json", study=PLAN.studies),
    shell:
        "python {SCRIPTS}/status.py --plan {input}"
