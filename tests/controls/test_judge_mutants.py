"""Would the tests notice a wrong judge? Each mutant of it is killed by the tests that are named for it, by an assertion."""

from __future__ import annotations

import os

import pytest

from tests.controls.mutants import MUTANTS
from tests.controls.mutated import Server

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants run in forks")


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


@pytest.mark.parametrize("name", MUTANTS)
def test_each_mutant_of_the_judge_is_killed_by_an_assertion(name, server):
    """At root seed 0, so that nothing here is up to chance. A crash is no kill: it would hide that nobody asserts anything."""
    said = server.ask(name, MUTANTS[name].tests)
    assert said["failed"] is not False, f"{name} survives."
    assert said["error"] in ("AssertionError", "Failed"), f"{name} crashes in {said['test']}.\n{said['output']}"


def test_the_same_tests_pass_with_the_right_judge(server):
    tests = sorted({test for mutant in MUTANTS.values() for test in mutant.tests})
    said = server.ask(None, tests)
    assert said["failed"] is False, said["output"]


def test_a_mutant_does_not_outlive_its_run(server):
    """The measurement can fail: what kills a mutant passes before it and after it."""
    tests = MUTANTS["dkw-without-the-two"].tests
    assert [server.ask(name, tests)["failed"] for name in (None, "dkw-without-the-two", None)] == [False, True, False]


def test_a_test_that_is_not_there_kills_nothing(server):
    said = server.ask("dkw-without-the-two", ["tests/evidence/test_nulls.py::test_that_is_not_there"])
    assert said["failed"] is None
    assert "there is no test" in said["output"]


def test_every_mutant_says_what_is_wrong_in_a_sentence():
    for mutant in MUTANTS.values():
        assert mutant.wrong[0].isupper(), mutant.name
        assert mutant.wrong.endswith("."), mutant.name
        assert mutant.tests, mutant.name
