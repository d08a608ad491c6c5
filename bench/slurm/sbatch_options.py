"""Options of sbatch that a profile passes through: checked, merged, and the GPUs in `gres`."""

import re
from typing import Any

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+|[a-z][a-z0-9]+")
OF_PROFILE = {  # option of sbatch -> the key of the profile that sets it
    "partition": "partition", "account": "account", "qos": "qos", "constraint": "constraint",
    "exclude": "exclude", "nodes": "nodes", "ntasks": "processes", "ntasks-per-node": "processes",
    "ntasks-per-gpu": "processes", "ntasks-per-core": "processes",
    "ntasks-per-socket": "processes", "cpus-per-task": "cpus", "cpus-per-gpu": "cpus",
    "gpus": "gpus and gpu", "gpus-per-node": "gpus and gpu", "gpus-per-task": "gpus and gpu",
    "gpus-per-socket": "gpus and gpu", "mem": "memory_gb", "mem-per-cpu": "memory_gb",
    "mem-per-gpu": "memory_gb", "time": "time_min", "signal": "signal_s", "array": "throttle",
    "requeue": "requeue", "no-requeue": "requeue",
}  # fmt: skip
OF_SARBENCH = {  # option of sbatch -> the reason why a profile cannot set it
    "job-name": "it is the grid and the stage", "comment": "`submit` finds its jobs by it",
    "output": "`logs` finds the logs in the store", "error": "`logs` finds the logs in the store",
    "input": "a job reads no input", "open-mode": "a requeued job continues its log",
    "dependency": "runs wait for their pretraining",
    "kill-on-invalid-dep": "runs wait for their pretraining",
    "wrap": "the batch script is ours", "export-file": "the batch script sets the variables",
    "parsable": "`submit` reads the answer of sbatch",
    "quiet": "`submit` reads the answer of sbatch",
    "wait": "`submit` returns at once", "test-only": "use `submit --dry-run`",
    "clusters": "jobs are looked up in the default cluster", "help": "it submits nothing",
    "usage": "it submits nothing", "version": "it submits nothing",
}  # fmt: skip


def checked(given: Any) -> dict[str, Any]:
    """Return options by their long names, lists as texts with commas.

    Raises:
        ValueError: An option or a value is not allowed; the message lists every problem.
    """
    if not isinstance(given, dict):
        raise ValueError('give a table of options of sbatch, as in sbatch = {reservation = "NAME"}')
    found, problems = dict[str, Any](), list[str]()
    for key, value in given.items():
        name = str(key).replace("_", "-").removeprefix("--")
        if problem := _problem(name, value):
            problems.append(problem)
        elif name in found:
            problems.append(f"{name} is given twice; keep one of them")
        found[name] = ",".join(map(str, value)) if isinstance(value, list) else value
    if problems:
        raise ValueError("; ".join(problems))
    return found


def _problem(name: str, value: Any) -> str:
    """Return the reason why an option cannot be passed through; empty if it can."""
    if key := OF_PROFILE.get(name):
        return f"{name} is set by sarbench; remove it and use the key {key} of the profile"
    if reason := OF_SARBENCH.get(name):
        return f"{name} is set by sarbench ({reason}); remove it"
    if not NAME.fullmatch(name):
        return f"{name!r} is not the long name of an option of sbatch; give one such as reservation"
    values = value if isinstance(value, list) else [value]
    texts = all(isinstance(one, str | int | float) for one in values)
    if not values or not texts or any("\n" in str(one) for one in values):
        return (
            f"{name} must be a text in one line, a number, true, false (left out) or a list of "
            f"texts, got {value!r}; write it as after --{name}="
        )
    return ""


def flags(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options to write; false leaves one out."""
    return {name: value for name, value in options.items() if value is not False}


def gpus_in_gres(options: dict[str, Any]) -> int | None:
    """Return the number of GPUs per node that `gres` asks for; None if it names none."""
    counts = list[int]()
    for one in str(options.get("gres") or "").removeprefix("gres:").split(","):
        kind, *rest = re.sub(r"\(.*\)", "", one).strip().removeprefix("gres/").split(":")
        if kind == "gpu":
            counts.append(int(rest[-1]) if rest and rest[-1].isdigit() else 1)
    return sum(counts) if counts else None
