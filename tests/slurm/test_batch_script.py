"""The end of a batch script, run by bash with stand-ins for SLURM and for the launcher."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sarbench.bench.slurm.batch_script import make_executor
from sarbench.bench.slurm.profile import parse_profile

LAUNCHER = '#!/bin/bash\necho "$*" >> "$LOG.launcher"\nexec "$@"\n'


class Script:
    """A batch script whose processes and commands of SLURM are stand-ins."""

    def __init__(self, folder: Path, **profile: object) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        given = parse_profile({"cpus": 1, **profile}, "p")
        made = make_executor(
            given, given.allocation("pretrain"), folder / "job", folder / "code", name="g-pretrain"
        )
        self.text = made.text(1)
        (folder / "bin").mkdir()
        self.stand_in("sleep", "exit 0")
        self.stand_in("squeue", "echo RUNNING")

    def stand_in(self, name: str, does: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f'#!/bin/bash\necho "$*" >> "{self.folder}/{name}.log"\n{does}\n')
        path.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        path = self.folder / f"{name}.log"
        return path.read_text().splitlines() if path.exists() else []

    def end(self, status: int) -> int:
        """Run the script with processes that end with `status`; return its own exit status."""
        self.stand_in("srun", f"exit {status}")
        path = self.folder / "batch.sh"
        path.write_text(self.text)
        environment = os.environ | {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "SLURM_JOB_ID": "7",
            "LOG": str(self.folder / "log"),
        }  # fmt: skip
        done = subprocess.run(["bash", path], env=environment, check=False, timeout=60)
        return done.returncode


@pytest.fixture
def script(tmp_path) -> Script:
    made = Script(tmp_path, python=str(tmp_path / "bin" / "python"))
    made.stand_in("python", "exit 75")  # `on_exit` asks to requeue
    made.stand_in("scontrol", "exit 0")
    return made


def test_a_job_that_ended_well_calls_nothing(script):
    assert script.end(0) == 0
    assert (script.calls("python"), script.calls("scontrol")) == ([], [])


def test_a_job_is_requeued_and_a_controller_that_ends_it_late_is_no_failure(script):
    assert script.end(75) == 0
    assert script.calls("scontrol") == ["requeue 7"]
    (call,) = script.calls("python")
    assert call == f"-m sarbench.bench.slurm.on_exit {script.folder / 'job'} 75 RUNNING"


def test_a_job_that_is_not_to_be_requeued_ends_with_the_status_of_its_processes(script):
    script.stand_in("python", "exit 0")
    assert script.end(137) == 137
    assert script.calls("scontrol") == []


def test_a_refusal_to_requeue_is_recorded(script):
    script.stand_in("scontrol", "echo 'Requested operation is presently disabled'; exit 1")
    assert script.end(75) == 75
    assert len(script.calls("scontrol")) == 1
    assert script.calls("python")[-1].endswith(
        "75 RUNNING Requested operation is presently disabled"
    )


def test_a_controller_that_does_not_answer_is_asked_again(script):
    script.stand_in(
        "scontrol",
        f"""
        [ "$(wc -l < {script.folder}/scontrol.log)" -ge 3 ] && exit 0
        echo "Unable to contact slurm controller (connect failure)"; exit 1""",
    )
    assert script.end(75) == 0
    assert len(script.calls("scontrol")) == 3


def test_the_launcher_starts_the_work_and_the_end_of_a_job(tmp_path):
    launcher = tmp_path / "launch"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    script = Script(tmp_path, launcher=f"{launcher} exec --nv image.sif", python="/opt/my python")
    assert (
        f"{launcher} exec --nv image.sif '/opt/my python' -u -m submitit.core._submit"
        in script.text
    )
    assert script.text.count(f"{launcher} exec --nv image.sif '/opt/my python' -m sarbench") == 2
    script = Script(tmp_path / "again", launcher=f"{launcher} env", python=sys.executable)
    assert script.end(75) == 75  # no files of the job are here: `on_exit` fails
    (called,) = (tmp_path / "again" / "log.launcher").read_text().splitlines()
    assert called.startswith(f"env {sys.executable} -m sarbench.bench.slurm.on_exit")


def test_options_of_sbatch_are_passed_on_and_none_is_forced(tmp_path):
    asked = {
        "partition": ["gpu", "big"], "gpus": 2, "gpu": "a100", "requeue": False, "memory_gb": 0,
        "sbatch": {"mail_type": ["END", "FAIL"], "reservation": "mine", "exclusive": True},
        "pretrain": {"sbatch": {"reservation": False, "licenses": "sar:1"}},
    }  # fmt: skip
    text = Script(tmp_path, **asked).text
    for line in (
        "partition=gpu,big", "gpus-per-node=a100:2", "no-requeue", "mem=0", "mail-type=END,FAIL",
        "exclusive", "licenses=sar:1",
    ):  # fmt: skip
        assert f"#SBATCH --{line}\n" in text, line
    for option in ("wckey", "requeue\n", "reservation", "comment"):
        assert f"#SBATCH --{option}" not in text, option
    assert text.index("unset SLURM_EXPORT_ENV") < text.index("export PYTHONPATH=")


def test_gpus_in_gres_replace_the_option_of_sarbench(tmp_path):
    text = Script(tmp_path, gpus=2, pretrain={"sbatch": {"gres": "gpu:a100:2,scratch:10"}}).text
    assert "#SBATCH --gres=gpu:a100:2,scratch:10\n" in text
    assert "gpus-per-node" not in text
