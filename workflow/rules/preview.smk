localrules:
    preview,


rule preview_study:
    input:
        data=lambda wildcards: sorted(
            {
                point.runs["prepare"].path
                for point in PLAN.studies[wildcards.study].points
            }
        ),
        plan=rules.study_plan.output,
    output:
        directory("results/studies/{study}/preview"),
    log:
        "results/studies/{study}/logs/preview.log",
    conda:
        "../../envs/train.yaml"
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "python workflow/scripts/draw_previews.py {params.folder} --plan {input.plan} 2> {log}"


rule preview:
    input:
        [f"results/studies/{study}/preview" for study in PLAN.studies],
    log:
        "results/preview.log",
    conda:
        "../../envs/train.yaml"
    shell:
        "find {input} -name '*.png' | sort | tee {log}"
