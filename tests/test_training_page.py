"""docs/training.md and docs/several_gpus.md can be followed: commands parse, values exist, script and snippet run."""

import os
import re
import shlex
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
import typer
from torch.distributed.run import get_args_parser

from psbench.cli_training import parsed_changes, train
from psbench.training import recipe_for
from psbench_data import PersonSearchDataset
from tests.models.test_training import TINY

DOCS = Path(__file__).parent.parent / "docs"
PAGE = "\n".join((DOCS / name).read_text() for name in ("training.md", "several_gpus.md"))
STARTED = [shlex.split(line) for line in re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)]
ALONE = [shlex.split(line) for line in re.findall(r"^    psbench (train .+)$", PAGE, re.MULTILINE)]
SCRIPT = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)[0]
SNIPPET = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
MODULE = "psbench.training"


def _require_trains(arguments: list[str]) -> dict[str, object]:
    """The command's values, if psbench would take them."""
    app = typer.Typer()
    app.command()(train)
    values = typer.main.get_command(app).make_context("train", arguments).params
    recipe = recipe_for(values["recipe"] or f"{values['model']}-{values['data']}")
    recipe.override(parsed_changes(values["changes"]))
    return values


def _launched(words: list[str]) -> list[str]:
    """The arguments that a launcher hands to `-m psbench.training`."""
    at = words.index(MODULE)
    assert words[at - 1] == "-m"
    return words[at + 1 :]


@pytest.mark.parametrize("words", [*ALONE, *STARTED], ids=" ".join)
def test_commands_are_taken(words: list[str]) -> None:
    if words[0] == "train":
        _require_trains(words[1:])
        return
    _require_trains(_launched(words))
    if words[0] == "torchrun":
        assert get_args_parser().parse_args(words[1:]).nproc_per_node == "8"
        return
    from accelerate.commands.launch import launch_command_parser

    assert words[:2] == ["accelerate", "launch"]
    assert launch_command_parser().parse_args(words[2:]).multi_gpu


def test_there_are_commands_of_every_kind() -> None:
    assert {words[0] for words in STARTED} == {"accelerate", "torchrun"}
    assert len(ALONE) >= 4


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _surroundings(folder: Path, srun: str) -> dict[str, str]:
    """As SLURM would set them, with programs that note how they are called."""
    _program(folder / "scontrol", f'echo "$@" >> {folder}/scontrol.txt\n[ "$1" = show ] && printf "n1\\nn2\\n" || true')
    _program(folder / "srun", srun)
    slurm = {"SLURM_JOB_ID": "77", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_CPUS_PER_TASK": "40"}
    return os.environ | slurm | {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_script_starts_what_it_says(tmp_path: Path) -> None:
    env = _surroundings(tmp_path, f'printf "%s\\n" "$@" > {tmp_path}/srun.txt; exit 3')
    assert subprocess.run(["bash", "-c", SCRIPT], env=env, check=False, timeout=20).returncode == 3
    _, cpus, launcher, *words = (tmp_path / "srun.txt").read_text().splitlines()
    assert (cpus, launcher) == ("--cpus-per-task=40", "torchrun")
    options = get_args_parser().parse_args(words)
    assert (options.nnodes, options.nproc_per_node, options.rdzv_endpoint) == ("2", "8", "n1:29500")
    values = _require_trains(_launched(words))
    assert values["resume"]
    assert values["output"] == Path("/shared/runs/seqnet16")


def test_script_is_queued_again_before_its_time_is_over(tmp_path: Path) -> None:
    env = _surroundings(tmp_path, f"touch {tmp_path}/started; exec sleep 20")
    job = subprocess.Popen(["bash", "-c", SCRIPT], env=env, start_new_session=True)
    try:
        for _ in range(200):
            if (tmp_path / "started").exists():
                break
            time.sleep(0.05)
        job.send_signal(signal.SIGUSR1)
        job.wait(timeout=10)
    finally:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
    assert (tmp_path / "scontrol.txt").read_text().splitlines()[-1] == "requeue 77"


def test_snippet_trains(world: PersonSearchDataset, tmp_path: Path) -> None:
    changed = SNIPPET.replace("/data/CUHK-SYSU", str(world.root)).replace("runs/seqnet", str(tmp_path / "run"))
    changed = changed.replace('recipe_for("seqnet-cuhk_sysu")', "TINY").replace("gallery-100", "gallery-50")
    names: dict = {"TINY": TINY.override({"schedule.epochs": 1})}
    exec(changed, names)
    assert names["run"].record.validation.protocol == "gallery-50"
    assert names["run"].recipe.optimizer.lr == 0.002
    assert not names["model"].training


def test_messages_on_the_page_are_the_real_ones() -> None:
    from psbench import InputError
    from psbench.training.accelerator import batch_warnings, batches_of

    recipe = recipe_for("seqnet-cuhk_sysu")
    with pytest.raises(InputError) as refused:
        recipe.override({"execution.precison": "bf16"})
    shown = re.findall(r"```text\n(.*?) \.\.\.\n```", PAGE, re.DOTALL)
    assert str(refused.value).startswith(shown[0])
    [warning] = batch_warnings(recipe, batches_of(recipe, 8))
    assert warning.startswith(shown[1])
    assert (
        f"{batches_of(recipe.override({'execution.scale_lr': True, 'execution.images_per_process': 1}), 8).lr:g}"
        in PAGE
    )
