"""The recipes for continuous integration: files that parse, options that exist, a script that runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from exactness.cli import app
from exactness.show.formats import FORMATS
from tests.conftest import module_or_skip
from tests.run.test_cli import CLAIMS

ROOT = Path(__file__).parents[2]
ACTION, WORKFLOW, DOCUMENT = ROOT / "action.yml", ROOT / ".github" / "workflows" / "certify.yml", ROOT / "docs" / "ci.md"


def loaded(text: str) -> dict:
    # YAML 1.1 reads a bare `on` as true; GitHub does not.
    return module_or_skip("yaml").safe_load(re.sub(r"^on:", '"on":', text, flags=re.MULTILINE))


@pytest.fixture(params=[ACTION, WORKFLOW], ids=lambda path: path.name)
def recipe(request) -> tuple[dict, list[dict]]:
    """Its inputs and its steps."""
    document = loaded(request.param.read_text())
    if request.param is ACTION:
        return document["inputs"], document["runs"]["steps"]
    return document["on"]["workflow_call"]["inputs"], document["jobs"]["certify"]["steps"]


def judging(steps: list[dict]) -> str:
    (script,) = [step["run"] for step in steps if "exactness certify" in step.get("run", "")]
    return script


def options_of(command: str) -> set[str]:
    group = typer.main.get_command(app)
    return {option for parameter in group.commands[command].params for option in parameter.opts}  # type: ignore[attr-defined]


def test_inputs_are_described_and_each_is_used(recipe):
    inputs, steps = recipe
    used = set(re.findall(r"inputs\.([\w-]+)", json.dumps(steps)))
    # The job's own input. A composite action has none: the job that uses it sets its time.
    assert used | (set(inputs) & {"timeout-minutes"}) == set(inputs)
    # An input pasted into a script is code.
    assert not any("${{" in step.get("run", "") for step in steps)
    assert all(step.get("uses") or step.get("run") for step in steps)


def test_strangers_actions_are_pinned_by_commit():
    """A tag can be moved to other code, and a commit cannot. The version is written next to it, for readers and for updates."""
    found = 0
    for path in (ACTION, WORKFLOW, *(ROOT / "docs").glob("*.md")):
        for action, version in re.findall(r"uses: *([\w./-]+)@(.*)", path.read_text()):
            if not action.startswith("OWNER/"):
                assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", version), (path.name, action, version)
                found += 1
    assert found >= 6


def test_every_job_has_a_time_limit():
    workflow = loaded(WORKFLOW.read_text())
    assert workflow["jobs"]["certify"]["timeout-minutes"] == "${{ inputs.timeout-minutes }}"
    assert 0 < workflow["on"]["workflow_call"]["inputs"]["timeout-minutes"]["default"] < 360
    blocks = [loaded(block) for block in re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)]
    assert all("timeout-minutes" in job for block in blocks for job in block["jobs"].values() if "steps" in job)


def test_the_action_and_the_workflow_judge_alike():
    action, workflow = loaded(ACTION.read_text())["runs"]["steps"], loaded(WORKFLOW.read_text())["jobs"]["certify"]["steps"]
    assert judging(action) == judging(workflow)
    assert all("shell" in step for step in action if "run" in step), "a composite action names its shell"


def test_every_option_that_is_named_exists():
    for text in (ACTION.read_text(), WORKFLOW.read_text(), DOCUMENT.read_text(), (ROOT / "README.md").read_text()):
        commands = re.findall(r"exactness (certify|report|recheck|verify|list)\b((?:[^\n`]|\\\n)*)", text)
        assert commands
        for command, rest in commands:
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest.split("`")[0]):
                assert option in options_of(command), (command, option)
        for name in re.findall(r"--format (\w+)", text):
            assert name in FORMATS
    for line in re.findall(r"options: (--.*)", DOCUMENT.read_text()):
        assert set(re.findall(r"--[a-z-]+", line)) <= options_of("certify")


def test_inputs_in_the_document_are_those_of_the_files():
    blocks = [loaded(block) for block in re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)]
    step, called = blocks[0]["jobs"]["exactness"]["steps"][-1], blocks[1]["jobs"]["exactness"]
    workflow = loaded(WORKFLOW.read_text())["on"]["workflow_call"]["inputs"]
    assert set(step["with"]) <= set(loaded(ACTION.read_text())["inputs"])
    assert set(called["with"]) <= set(workflow)
    assert {name for name, one in workflow.items() if one.get("required")} <= set(called["with"])
    assert "default" not in workflow["package"], "a bare name could be anybody's package"
    assert called["uses"].split("@")[0].endswith(str(WORKFLOW.relative_to(ROOT)))


def test_the_table_of_formats_is_complete():
    rows = re.findall(r"^\| `(\w+)` \|.*\| `([\w.]+)` \|$", DOCUMENT.read_text(), flags=re.MULTILINE)
    assert rows == [(name, form.file) for name, form in FORMATS.items()]


@pytest.mark.parametrize(
    ("claims", "options", "code"),
    [
        ("claims.py:claim", "--seed 3", 0),
        ("claims.py:wrong  claims.py:claim", "--seed 3", 1),
        # As `claims: |` gives them: the wrong one is not on the first line.
        ("claims.py:claim\nclaims.py:wrong\n", "--alpha 1e-5\n--seed 3\n", 1),
        (" ", "--seed 3", 2),
        ("\n \n", "--seed 3", 2),
    ],
)
def test_the_script_judges_summarises_and_passes_the_exit_code_on(tmp_path, claims, options, code):
    """As a runner does it: bash -e, inputs as environment, the summary and the outputs appended to files."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not here")
    (tmp_path / "claims.py").write_text(CLAIMS)
    shim = tmp_path / "bin" / "exactness"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m exactness.cli "$@"\n')
    shim.chmod(0o755)
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}", "CLAIMS": claims,
        "OPTIONS": options, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "GITHUB_OUTPUT": str(tmp_path / "outputs"),
    }  # fmt: skip
    script = judging(loaded(ACTION.read_text())["runs"]["steps"])
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    if code == 2:
        assert "no claim was named" in done.stderr
        return
    assert (tmp_path / "outputs").read_text() == f"exit-code={code}\n"
    assert (tmp_path / "summary").read_text().startswith("### exactness: 1 certified")
    log = json.loads((tmp_path / "exactness-out" / "exactness.sarif").read_text())
    assert len(log["runs"][0]["results"]) == code
    assert json.loads((tmp_path / "exactness-out" / "certificates" / "right.json").read_text())["seed"] == 3
