localrules:
    preview,


rule preview_study:
    input:
        lambda wildcards: [
            ancient(path)
            for path in sorted(
                {
                    point.runs["prepare"].path
                    for point in PLAN.studies[wildcards.study].points
                }
            )
        ],
    output:
        directory("results/studies/{study}/preview"),
    log:
        "results/studies/{study}/logs/preview.log",
    conda:
        "../../envs/train.yaml"
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "python workflow/scripts/draw_previews.py {params.folder} --plan {params.folder}/plan.json 2> {log}"


rule preview:
    input:
        [f"results/studies/{study}/preview" for study in PLAN.studies],
    log:
        "results/preview.log",
    conda:
        "../../envs/train.yaml"
    shell:
        "find {input} -name '*.png' | sort | tee {log}"
