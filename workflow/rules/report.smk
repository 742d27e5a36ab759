localrules:
    study_plan,
    report,
    partial,
    status,


rule study_plan:
    output:
        "results/studies/{study}/plan.json",
    log:
        "results/studies/{study}/logs/plan.log",
    conda:
        "../../envs/report.yaml"
    params:
        source=lambda wildcards: PLAN.studies[wildcards.study].source,
        overrides=json.dumps(OVERRIDES, sort_keys=True),
        digest=lambda wildcards: manifest.digest(manifest_of(wildcards.study)),
    shell:
        "python workflow/scripts/write_plan.py {output} {params.source:q} --overrides {params.overrides:q} 2> {log}"


rule tabulate:
    input:
        study_runs,
        counts_read("table"),
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
    conda:
        "../../envs/report.yaml"
    params:
        folder=subpath(output.runs, parent=True),
        captions=captions_of("table"),
    shell:
        "python workflow/scripts/write_tables.py {params.folder} --plan {input.plan} 2> {log}"


rule plot:
    input:
        rules.tabulate.output.runs,
        counts_read("figure"),
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
    conda:
        "../../envs/report.yaml"
    params:
        folder=subpath(output[0], parent=True),
        captions=captions_of("figure"),
    shell:
        "python workflow/scripts/draw_figures.py {params.folder} --plan {input.plan} 2> {log}"


rule page:
    input:
        plan=rules.study_plan.output,
        runs=rules.tabulate.output.runs,
        tables=rules.tabulate.output.tables,
        figures=rules.plot.output,
    output:
        page="results/studies/{study}/index.html",
        explore=report(
            "results/studies/{study}/explore.html",
            category="{study}",
            subcategory="Figures",
            labels={"figure": "parallel coordinates"},
        ),
    log:
        "results/studies/{study}/logs/page.log",
    conda:
        "../../envs/report.yaml"
    shell:
        "python workflow/scripts/write_page.py {output.page} --plan {input.plan} 2> {log}"


rule report:
    input:
        study_pages(),
    output:
        "results/report.zip",
    log:
        "results/report.log",
    conda:
        "../../envs/report.yaml"
    params:
        config=json.dumps(config, sort_keys=True),
    shell:
        "snakemake --configfile <(printf %s {params.config:q})"
        " --nolock --report {output} all &> {log}"


rule partial:
    input:
        study_plans(),
    log:
        "results/partial.log",
    conda:
        "../../envs/report.yaml"
    shell:
        "for plan in {input}; do"
        " folder=results/partial/$(basename $(dirname $plan));"
        " python workflow/scripts/write_tables.py $folder --plan $plan"
        " && python workflow/scripts/draw_figures.py $folder --plan $plan"
        " && python workflow/scripts/write_page.py $folder/index.html --plan $plan"
        " && echo $folder/index.html; done 2> {log}"


rule status:
    input:
        study_plans(),
    log:
        "results/status.log",
    conda:
        "../../envs/report.yaml"
    shell:
        "for plan in {input}; do python -m espalier status --plan $plan; done | tee {log}"
