import json

from espalier.results import call_end


localrules:
    outdated,
    report,


# A page is judged by what it was made from, not by times: where that is not what lies here, this has it made anew.
rule outdated:
    output:
        "results/studies/{study}/outdated{number}",
    log:
        "results/studies/{study}/outdated{number}.log",
    conda:
        "../../envs/report.yaml"
    shell:
        "touch {output} 2> {log}"


rule page:
    input:
        study_runs,
        counts_read,
        outdated,
    output:
        runs="results/studies/{study}/runs.csv",
        tables=report(
            directory("results/studies/{study}/tables"),
            patterns=["{table}.html"],
            caption="../report/table.rst",
            category="{study}",
            subcategory="Tables",
            labels=titled("table"),
        ),
        figures=report(
            directory("results/studies/{study}/figures"),
            patterns=["{figure}.png"],
            caption="../report/figure.rst",
            category="{study}",
            subcategory="Figures",
            labels=titled("figure"),
        ),
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
    params:
        folder=subpath(output.runs, parent=True),
        tables=captions_of("table"),
        figures=captions_of("figure"),
    shell:
        "python workflow/scripts/write_page.py {params.folder} --plan {params.folder}/plan.json 2> {log}"


rule report:
    input:
        to_make,
        pages=study_pages(),
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
        " && python workflow/scripts/bundle.py {output} {input.pages} &>> {log}"


# The page of a study with failed runs shows what there is, and the last line in the terminal names it.
onsuccess:
    if workflow.is_main_process:
        call_end.finish_call(PLAN.studies, failed=False)


onerror:
    if workflow.is_main_process:
        call_end.finish_call(PLAN.studies, failed=True)
