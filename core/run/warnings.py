"""What a reader of a run's figures should know before believing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..experiment.schema import point_words


def warnings_of(
    facts: Mapping[str, Any],
    environment: Mapping[str, Any],
    trials: Sequence[Mapping[str, Any]],
    controls: Sequence[str],
) -> list[str]:
    """What a reader of the figures should know before believing them."""
    found = []
    if facts["status"] != "finished":
        found.append("this run is not finished: what is here is what is done")
    if facts.get("sessions", 1) > 1 and any(trial["kind"] == "time" for trial in trials):
        found.append(f"this run was resumed: its repeats were timed in {facts['sessions']} sessions")
    timed = [trial for trial in trials if trial["kind"] == "time" and trial["status"] == "ok"]
    busy = sum(1 for trial in timed if trial.get("load"))
    if busy:
        found.append(f"the machine was busy with something else in {busy} of {len(timed)} timing processes")
    if facts.get("company"):
        found.append(f"when this run was timed: {facts['company']}")
    if environment.get("on_battery"):
        found.append("on battery: clocks may be held down")
    found += [f"A/A control off, claims about times there are not judged: {off}" for off in controls]
    again = [trial["reason"] for trial in trials if trial.get("cause") == "machine"]
    if again:
        found.append(
            f"the machine ended {len(again)} trial{'s' * (len(again) > 1)} ({', '.join(dict.fromkeys(again))}):"
            f" lab run {facts['experiment']} --resume {facts.get('id', '')} tries again"
        )
    for trial in trials:
        found += [f"{trial['variant']} {trial['replicate']}: {note}" for note in trial.get("notes", ())]
        if trial["kind"] in ("time", "peaks") and trial["status"] != "ok":
            found.append(f"a timing process failed at {trial['point'] or 'the peaks'}: {trial['reason']}")
        memory = trial.get("memory") or {}
        if memory.get("agrees") is False:
            found.append(
                f"memory of {trial['variant']} at {point_words(trial['point'])}: the allocator says"
                f" {memory['allocated'] / 1e6:.1f} MB, the resident set {memory['resident'] / 1e6:.1f} MB"
            )
    return found
