"""What the plugin costs those who do not use it: nothing."""

from __future__ import annotations

import ast
import sys

from .conftest import LOAD, RIGHT, ROOT, text


def test_nothing_heavy_is_imported_before_a_test_uses_it(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile("""
        import sys

        def test_light():
            assert "pytest_exactness" in sys.modules
            assert [m for m in ("numpy", "scipy", "exactness", "msgspec", "rich", "torch", "jax") if m in sys.modules] == []

        def test_heavy(request):
            import exactness
            assert "numpy" in sys.modules
    """)
    done = pytester.run(sys.executable, "-m", "pytest", *LOAD, "-p", "no:hypothesispytest")
    done.assert_outcomes(passed=2)


def test_the_hooks_import_the_package_and_not_the_other_way_round():
    for path in (ROOT / "exactness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None)]
            assert "pytest_exactness" not in names, path


def test_a_session_without_exactness_tests_hears_nothing_of_it(run):
    done = run("def test_other(): pass")
    done.assert_outcomes(passed=1)
    assert "exactness" not in text(done).replace("exactness-", "").partition("collected")[2]


def test_without_the_plugin_only_the_tests_that_ask_for_it_err(run):
    done = run(RIGHT + "def test_other(): pass", "-p", "no:exactness", load=())
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*fixture 'certify' not found*"])


def test_the_marker_is_registered(run):
    run("@pytest.mark.exactness(tolerance=0.2)" + RIGHT, "--strict-markers", "--strict-config").assert_outcomes(passed=1)
