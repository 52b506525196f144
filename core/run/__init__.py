"""From an `Experiment` to results: plan, trial processes, run folder, resume."""
