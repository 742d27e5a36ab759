# Trainings that pause where they are compared, and the answers to what a study's plan asks of results.
import json


rule rung:
    input:
        paused_before,
    output:
        "results/rungs/{run}/{epochs}.json",
    log:
        "results/rungs/{run}/{epochs}.log",
    priority: longest_first
    conda:
        "../../envs/train.yaml"
    threads: processes_of("train")
    resources:
        **over_nodes("train"),
        attempt=attempt_number,
        checkpoint_minutes=10,
        runtime=0,
    params:
        command=command_of("train"),
    shell:
        "{params.command} --until {wildcards.epochs} --rung {output} --attempt {resources.attempt}"
        " --checkpoint-minutes {resources.checkpoint_minutes} --minutes {resources.runtime} 2> {log}"


# A training that ends itself where others are better, by what is there of them when it comes to an epoch.
rule trial:
    input:
        paused_before,
        question_of,
    output:
        "results/rungs/{run}/{trial}.json",
    log:
        "results/rungs/{run}/{trial}.log",
    priority: longest_first
    conda:
        "../../envs/train.yaml"
    threads: processes_of("train")
    resources:
        **over_nodes("train"),
        attempt=attempt_number,
        checkpoint_minutes=10,
        runtime=0,
    params:
        command=command_of("train"),
        question=question_path,
    shell:
        "{params.command} --trial {output} --question {params.question} --attempt {resources.attempt}"
        " --checkpoint-minutes {resources.checkpoint_minutes} --minutes {resources.runtime} 2> {log}"


rule question:
    output:
        "results/studies/{study}/answers/{step}.question",
    log:
        "results/studies/{study}/answers/{step}.question.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        config=json.dumps(config, sort_keys=True),
    shell:
        "python workflow/scripts/answer.py {wildcards.study} {wildcards.step} {output} --question"
        " --config <(printf %s {params.config:q}) 2> {log}"


checkpoint answer:
    input:
        answered_files,
    output:
        "results/studies/{study}/answers/{step}.json",
    log:
        "results/studies/{study}/answers/{step}.log",
    localrule: True
    # A Gaussian process needs torch.
    conda:
        "../../envs/train.yaml"
    params:
        config=json.dumps(config, sort_keys=True),
    shell:
        "python workflow/scripts/answer.py {wildcards.study} {wildcards.step} {output}"
        " --config <(printf %s {params.config:q}) 2> {log}"
