"""The pytest plugin's hooks: its options, the marker, the fixture ``certify``, and how tests share alpha.

pytest imports this file whenever it starts in an environment that has exactness, so the file imports nothing but pytest. It is not
in the package ``exactness``, whose import would bring numpy and scipy (Hypothesis keeps its plugin outside of its package for the
same reason). The judging is done by :mod:`exactness.pytest_plugin`, which is imported when the first test needs it and which
knows nothing of this file.

The tests of a session share one alpha equally. The calls of ``certify`` in a test share the test's part
(:func:`exactness.pytest_plugin.claims_of_call`). A test whose marker sets an alpha uses that one, in addition to the session's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from exactness.pytest_plugin import Judge, Run

MARKER = (
    "exactness(alpha=None, tolerance=None, max_paths=None, claims=None): change how the fixture `certify` judges in this test. "
    "alpha: a false-alarm probability for this test alone, in addition to the session's; tolerance, max_paths: replace those of "
    "the plan; claims: the most calls of `certify` that the test makes, if you know it."
)
_FROM_MARKER = ("alpha", "tolerance", "max_paths", "claims")
_PROFILES = ("full", "quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("exactness", "certificates of samplers")
    group.addoption(
        "--exactness-alpha", metavar="P", help="largest probability that this session refutes any exact sampler (default: 1e-6)"
    )
    group.addoption("--exactness-seed", metavar="N", help="root seed of everything random in the certificates (default: 0)")
    group.addoption(
        "--exactness-profile",
        choices=_PROFILES,
        help="quick: take fewer draws, and judge at the tolerance that they can show (default: full)",
    )
    group.addoption("--exactness-json", metavar="DIR", help="save every certificate in this folder")
    group.addoption("--exactness-html", metavar="FILE", help="write a page that shows all certificates")
    group.addoption("--exactness-only", metavar="PATTERN", help="run only exactness tests, if their ids match or contain PATTERN")
    group.addoption("--exactness-skip", metavar="PATTERN", help="skip the exactness tests whose ids match or contain PATTERN")
    group.addoption(
        "--exactness-tests",
        metavar="N",
        default="1",
        help="share alpha among at least N tests, for a run that is part of a larger one (default: 1)",
    )
    parser.addini("exactness_alpha", "largest probability that a session refutes any exact sampler", default="1e-6")
    parser.addini("exactness_seed", "root seed of everything random in the certificates", default="0")
    parser.addini("exactness_profile", "full or quick", default="full")
    parser.addini("exactness_tolerance", "tolerance for tests that pass no plan", default="")
    parser.addini("exactness_max_paths", "largest number of draws for tests that pass no plan", default="")
    parser.addini("exactness_quick_paths", "largest number of draws in the profile quick", default="2000")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.pluginmanager.register(Door(config, _options(config)), "exactness-session")


@pytest.fixture(scope="session")
def certify(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """Judge a sampler: ``certify(claim)`` or ``certify(sample, law, plan=...)`` returns the certificate or fails the test.

    The fixture takes the arguments of :func:`exactness.certify` except the seed, which is the session's. With ``check=False`` it
    always returns the certificate. A claim with ``wrong=`` fails the test unless it is refuted. The fixture ignores
    ``Plan.alpha``: alpha belongs to the session or to the marker.

    The scope is the session because Hypothesis refuses fixtures of function scope. Calls are still counted for each test.
    """
    door = pytestconfig.pluginmanager.get_plugin("exactness-session")
    assert isinstance(door, Door)
    return door.certify


class Door:
    """The hooks of one session. ``options``: the fields of :class:`exactness.pytest_plugin.Settings`."""

    def __init__(self, config: pytest.Config, options: dict[str, Any]) -> None:
        self.config, self.options = config, options
        # Under pytest-xdist the workers judge. The controller collects nothing itself, and reports.
        self.worker = "workerinput" in vars(config)
        self.marks: dict[str, dict[str, Any]] = {}
        self.misuse: dict[str, str] = {}
        self.tests = 0
        self.item: pytest.Item | None = None
        self.run: Run | None = None
        self.told: dict[str, dict[str, Any]] = {}
        self.page = ""
        self._judge: Judge | None = None

    def certify(self, *arguments: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        if self.item is None or self.item.nodeid not in self.marks:
            raise pytest.UsageError(
                "this test calls `certify` but neither takes it as an argument nor has the marker exactness, so it has no share of "
                "alpha: take `certify` as an argument of the test, or mark the test with @pytest.mark.exactness()"
            )
        from exactness.pytest_plugin import Judge, Run, Settings

        if self._judge is None:
            self._judge = Judge(Settings(**self.options), self.config)
        marks = self.marks[self.item.nodeid]
        self.run = self.run or Run(self.item, marks)
        return self._judge(self.run, 1 if "alpha" in marks else self.tests, *arguments, **options)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        only, skip = self.config.getoption("--exactness-only"), self.config.getoption("--exactness-skip")
        keep: list[pytest.Item] = []
        drop: list[pytest.Item] = []
        for item in items:
            wanted = only is None or (_is_exactness(item) and _matches(only, item.nodeid))
            unwanted = skip is not None and _is_exactness(item) and _matches(skip, item.nodeid)
            (keep if wanted and not unwanted else drop).append(item)
        if drop:
            self.config.hook.pytest_deselected(items=drop)
            items[:] = keep

    # First, because the terminal reporter asks for the header when the collection is finished.
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if _is_exactness(item):
                self.marks[item.nodeid] = self._marks(item)
        sharing = sum("alpha" not in marks for marks in self.marks.values())
        self.tests = max(sharing, self.options["tests"]) if sharing else 0

    def _marks(self, item: pytest.Item) -> dict[str, Any]:
        try:
            return _marks(item)
        except pytest.UsageError as error:
            if not self.worker:
                raise
            # pytest-xdist would report that the worker crashed, and hide the message: let the test itself fail with it.
            self.misuse[item.nodeid] = str(error)
            return {}

    def pytest_report_collectionfinish(self) -> list[str]:
        return _statement(self.options, self.tests, self._own()) if self.marks else []

    def _own(self) -> list[float]:
        """Each alpha that a marker sets."""
        return [marks["alpha"] for marks in self.marks.values() if "alpha" in marks]

    # A rerun begins here again, so its calls get the seeds and the shares of the first run.
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        item.user_properties[:] = [pair for pair in item.user_properties if not str(pair[0]).startswith("exactness.")]
        self.item, self.run = item, None
        if item.nodeid in self.misuse:
            raise pytest.UsageError(self.misuse[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        run = self.run
        if run is not None and run.item is item and run.facts:
            # Like user properties, an attribute of the report travels from worker to controller, but it stays out of JUnit files.
            sent = {"tests": self.tests, "own": self._own(), "facts": run.facts, "certificates": run.certificates}
            report.exactness = sent  # type: ignore[attr-defined]
            if report.failed and run.section:
                report.sections.append(("exactness certificate", run.section))
            run.facts, run.certificates, run.section = [], [], ""
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.worker:
            return
        if report.when == "setup":  # If a test is run again, the last run counts.
            self.told.pop(report.nodeid, None)
        sent = vars(report).get("exactness")
        if sent is not None:
            told = self.told.setdefault(report.nodeid, {**sent, "facts": [], "certificates": []})
            told["facts"] += sent["facts"]
            told["certificates"] += sent["certificates"]

    def pytest_sessionfinish(self) -> None:
        target = self.options["html"]
        if target is None or self.worker:
            return
        certificates = [text for told in self.told.values() for text in told["certificates"]]
        if not certificates:
            self.page = f"there is no certificate, so {target} was not written"
            return
        from exactness.pytest_plugin import write_page

        write_page(certificates, target)
        self.page = f"page: {target}"

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        if not self.told and not self.page:
            return
        terminalreporter.section("exactness")
        if self.told:
            from exactness.show.pytest_text import table_of

            for line, colour in table_of({nodeid: told["facts"] for nodeid, told in self.told.items()}):
                terminalreporter.write_line(line, **colour)
            told = next(iter(self.told.values()))  # All workers collect the same tests and send the same statement.
            for line in _statement(self.options, told["tests"], told["own"]):
                terminalreporter.write_line(line)
            if self.options["json"] is not None:
                terminalreporter.write_line(f"certificates: {self.options['json']}")
        if self.page:
            terminalreporter.write_line(self.page)


def _statement(options: dict[str, Any], tests: int, own: list[float]) -> list[str]:
    """One or two lines that say with which probability the session refutes an exact sampler."""
    profile = options["profile"]
    if profile == "quick":
        profile += f" (at most {options['quick_paths']:,} draws, at the tolerance that they can show)"
    said = f"alpha {options['alpha']:g} shared by {tests} test{'s' * (tests != 1)}, " if tests else ""
    lines = [f"exactness: {said}seed {options['seed']}, profile {profile}"]
    if own:
        total = sum(own) + (options["alpha"] if tests else 0.0)
        lines.append(
            f"exactness: {len(own)} test{'s' * (len(own) != 1)} with an alpha of {'its' if len(own) == 1 else 'their'} own, "
            f"{sum(own):g} in total; this session refutes any exact sampler with probability at most {min(total, 1.0):.7g}"
        )
    return lines


def _is_exactness(item: pytest.Item) -> bool:
    return "certify" in getattr(item, "fixturenames", ()) or item.get_closest_marker("exactness") is not None


def _matches(pattern: str, nodeid: str) -> bool:
    return pattern in nodeid or fnmatchcase(nodeid, pattern)


def _marks(item: pytest.Item) -> dict[str, Any]:
    """The arguments of the test's markers; the closest marker wins. Raises ``pytest.UsageError`` for an unknown or bad one."""
    marks: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers("exactness"))):
        unknown = [repr(value) for value in marker.args] + [name for name in marker.kwargs if name not in _FROM_MARKER]
        if unknown:
            raise pytest.UsageError(
                f"{item.nodeid}: the marker exactness takes {', '.join(f'{name}=' for name in _FROM_MARKER)} "
                f"and not {', '.join(unknown)}"
            )
        marks |= {name: value for name, value in marker.kwargs.items() if value is not None}
    return {name: _checked(f"{item.nodeid}: {name} of the marker exactness", name, value) for name, value in marks.items()}


def _checked(where: str, name: str, value: Any) -> Any:
    """The value in its type. Empty text from an ini file gives None. Raises ``pytest.UsageError`` for a bad value."""
    if value == "":
        return None
    if name == "profile":
        if value not in _PROFILES:
            raise pytest.UsageError(f"{where} must be {' or '.join(_PROFILES)}, not {value!r}")
        return value
    share = name in ("alpha", "tolerance")
    least = 0 if name == "seed" else 1
    try:
        number = float(value) if share else int(str(value))
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not (0.0 < number < 1.0 if share else number >= least):
        needed = "lie strictly between 0 and 1" if share else f"be an integer of at least {least}"
        raise pytest.UsageError(f"{where} must {needed}, not {value!r}")
    return number


def _options(config: pytest.Config) -> dict[str, Any]:
    """The session's options by name, checked: the command line's, else the ini file's."""
    found: dict[str, Any] = {}
    for name in ("alpha", "tolerance", "max_paths", "quick_paths", "profile", "seed"):
        given = config.getoption(f"--exactness-{name}", None) or config.getini(f"exactness_{name}")
        found[name] = _checked(f"exactness_{name}", name, given)
    found["tests"] = _checked("--exactness-tests", "tests", config.getoption("--exactness-tests"))
    for name in ("json", "html"):
        place = config.getoption(f"--exactness-{name}")
        found[name] = None if place is None else config.invocation_params.dir / place
    if "workerinput" not in vars(config) and (found["json"] or found["html"]):
        from exactness.pytest_plugin import check_places

        check_places(found["json"], found["html"])
        # The workers of pytest-xdist may run in other folders.
        config.option.exactness_json = found["json"] and str(found["json"])
    return found
