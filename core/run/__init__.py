"""From an `Experiment` to results: plan, trial processes, run folder, resume.

In reading order:

    plan          trials of an experiment, in the order in which they start
    environment   device, threads and workers; machine and versions
    opening       opens a run: a new folder, or an old one to go on with
    folder        finds runs and reads them
    removal       removes runs
    files         JSON files, written whole or by appending
    stored        the types of everything in those files
    lock          who works on a run; one timing at a time on a machine
    execute       runs a plan to its end
    variables     environment variables that choose how it computes
    compiling     compiles kernels before the trials that need them
    products      what the products of a training run are done by
    schedule      starts trials in processes, watches them, ends those that hang
    server, preload   the process that trials are forked from
    process       the process of one trial, from its parameters to `trial.json`
    context       `core.trial.Context`: records, checkpoints, the cache
    messages      lines of JSON from a trial to the live view
    descendants   ends every process that a trial leaves behind
    estimate      expected seconds until the end
    results       tables, verdicts and sentences of a run
    trial_rows    rows of those tables, from trial files
    ceilings      what shares of a peak stand for, and which are wrong
    warnings      what to know before believing them
    differences   what differs between two runs besides their figures
"""
