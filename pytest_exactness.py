"""The pytest plugin's door: options, the marker, the fixture, and who gets which share of alpha.

pytest imports this file at every start of every project in which exactness is installed, so it imports nothing but pytest. It
lies beside the package, not in it, because ``exactness/__init__.py`` brings numpy and scipy (Hypothesis keeps its plugin outside
of its package for the same reason). What judges is :mod:`exactness.pytest_plugin`, imported when there is something to judge.

The session is one family. Of its alpha every collected exactness test gets the same share, and the calls of ``certify`` in a test
share that (:func:`exactness.pytest_plugin.claims_of_call`). A test whose marker names an alpha is a family of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from exactness.pytest_plugin import Judge

MARKER = (
    "exactness(alpha=None, tolerance=None, max_paths=None, claims=None): how the fixture `certify` judges in this test. alpha: a "
    "false-alarm probability of its own, beside that of the session; tolerance, max_paths: instead of the plan's; claims: how "
    "often the test calls `certify` at most, where that is known."
)
_FROM_MARKER = ("alpha", "tolerance", "max_paths", "claims")
_PROFILES = ("full", "quick")
# A test in a loop, or under Hypothesis, is shown by so many certificates, the gravest first.
_SHOWN = 5


@dataclass(frozen=True)
class Settings:
    """What the command line and the ini file ask for. ``tests``: share alpha with at least so many tests."""

    alpha: float
    tolerance: float | None
    max_paths: int | None
    quick_paths: int
    profile: str
    seed: int
    tests: int
    json: Path | None
    html: Path | None


@dataclass
class Run:
    """One run of one test: what ``certify`` was called for, and what has been reported of it."""

    item: pytest.Item
    marks: dict[str, Any]
    calls: int = 0
    names: set[str] = field(default_factory=set)
    facts: list[dict[str, Any]] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)
    section: str = ""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("exactness", "certificates of samplers")
    group.addoption("--exactness-alpha", metavar="P", help="probability of refuting any exact sampler of this session (1e-6)")
    group.addoption("--exactness-seed", metavar="N", help="root seed of everything random in certificates (0)")
    group.addoption(
        "--exactness-profile", choices=_PROFILES, help="quick: fewer draws, at the tolerance that these can show (full)"
    )
    group.addoption("--exactness-json", metavar="DIR", help="save every certificate in this folder")
    group.addoption("--exactness-html", metavar="FILE", help="write one page on all certificates")
    group.addoption("--exactness-only", metavar="PATTERN", help="run only exactness tests, those whose id matches or holds PATTERN")
    group.addoption("--exactness-skip", metavar="PATTERN", help="leave out exactness tests whose id matches or holds PATTERN")
    group.addoption(
        "--exactness-tests",
        metavar="N",
        default="1",
        help="share alpha with N tests at least: where this run is part of a larger one",
    )
    parser.addini("exactness_alpha", "probability of refuting any exact sampler of a session", default="1e-6")
    parser.addini("exactness_seed", "root seed of certificates", default="0")
    parser.addini("exactness_profile", "full or quick", default="full")
    parser.addini("exactness_tolerance", "tolerance, where a test brings no plan", default="")
    parser.addini("exactness_max_paths", "most draws, where a test brings no plan", default="")
    parser.addini("exactness_quick_paths", "most draws of the profile quick", default="2000")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.pluginmanager.register(Door(config, _settings(config)), "exactness-session")


@pytest.fixture(scope="session")
def certify(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """Judge a sampler: ``certify(claim)`` or ``certify(sample, law, plan=...)`` gives the certificate, or fails the test.

    Takes what :func:`exactness.certify` takes but the seed, and ``check=False`` to have the certificate and no failure. A claim
    with ``wrong=`` fails the test unless it is refuted. Of a plan, alpha is not used: that is the session's, or the marker's.

    The scope is the session's because Hypothesis refuses fixtures that are made anew for every test; calls are counted by test
    all the same.
    """
    door = pytestconfig.pluginmanager.get_plugin("exactness-session")
    assert isinstance(door, Door)
    return door.certify


class Door:
    """The hooks of one session."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config, self.settings = config, settings
        # Under pytest-xdist the workers judge, and the controller, which collects nothing itself, tells.
        self.worker = "workerinput" in vars(config)
        self.marks: dict[str, dict[str, Any]] = {}
        self.misuse: dict[str, str] = {}
        self.tests = 0
        self.run: Run | None = None
        self.told: dict[str, dict[str, Any]] = {}
        self.page = ""
        self._judge: Judge | None = None

    @property
    def judge(self) -> Judge:
        if self._judge is None:
            from exactness.pytest_plugin import Judge

            self._judge = Judge(self.settings, self.config)
        return self._judge

    def certify(self, *arguments: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        if self.run is None or self.run.item.nodeid not in self.marks:
            raise pytest.UsageError(
                "`certify` was reached by a test that does not ask for it by name, so it was given no share of alpha: take "
                "`certify` as an argument of the test, or mark the test with @pytest.mark.exactness()"
            )
        return self.judge(self.run, 1 if "alpha" in self.run.marks else self.tests, *arguments, **options)

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

    # Before the terminal reporter, which asks for the header at the end of the collection.
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if _is_exactness(item):
                self.marks[item.nodeid] = self._marks(item)
        sharing = sum("alpha" not in marks for marks in self.marks.values())
        self.tests = max(sharing, self.settings.tests) if sharing else 0

    def _marks(self, item: pytest.Item) -> dict[str, Any]:
        try:
            return _marks(item)
        except pytest.UsageError as error:
            if not self.worker:
                raise
            # A worker that raises here is taken for one that crashed, and nobody sees why: the test itself says it.
            self.misuse[item.nodeid] = str(error)
            return {}

    def pytest_report_collectionfinish(self) -> list[str]:
        if not self.marks:
            return []
        return _statement(self.settings, self.tests, [marks["alpha"] for marks in self.marks.values() if "alpha" in marks])

    # A rerun begins here again: the same calls get the same seeds and the same shares as the first time.
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        item.user_properties[:] = [pair for pair in item.user_properties if not str(pair[0]).startswith("exactness.")]
        self.run = Run(item, self.marks.get(item.nodeid, {}))
        if item.nodeid in self.misuse:
            raise pytest.UsageError(self.misuse[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        run = self.run
        if run is not None and run.item is item and run.facts:
            # An attribute of the report travels from worker to controller, as user properties do, and stays out of JUnit files.
            own = [marks["alpha"] for marks in self.marks.values() if "alpha" in marks]
            report.exactness = {"tests": self.tests, "own": own, "facts": run.facts, "certificates": run.certificates}  # type: ignore[attr-defined]
            if report.failed and run.section:
                report.sections.append(("exactness certificate", run.section))
            run.facts, run.certificates, run.section = [], [], ""
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.worker:
            return
        if report.when == "setup":  # Of a test that is run again, the last run counts.
            self.told.pop(report.nodeid, None)
        sent = vars(report).get("exactness")
        if sent is not None:
            told = self.told.setdefault(report.nodeid, {**sent, "facts": [], "certificates": []})
            told["facts"] += sent["facts"]
            told["certificates"] += sent["certificates"]

    def pytest_sessionfinish(self) -> None:
        if self.settings.html is None or self.worker:
            return
        certificates = [text for told in self.told.values() for text in told["certificates"]]
        if not certificates:
            self.page = f"no certificate, so {self.settings.html} was not written"
            return
        from exactness.pytest_plugin import write_page

        write_page(certificates, self.settings.html)
        self.page = f"page: {self.settings.html}"

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        if not self.told and not self.page:
            return
        terminalreporter.section("exactness")
        for line, colour in _table({nodeid: told["facts"] for nodeid, told in self.told.items()}):
            terminalreporter.write_line(line, **colour)
        for told in list(self.told.values())[:1]:  # All workers collect the same tests and say the same.
            for line in _statement(self.settings, told["tests"], told["own"]):
                terminalreporter.write_line(line)
        if self.settings.json is not None and self.told:
            terminalreporter.write_line(f"certificates: {self.settings.json}")
        if self.page:
            terminalreporter.write_line(self.page)


def _table(facts: dict[str, list[dict[str, Any]]]) -> list[tuple[str, dict[str, bool]]]:
    """The lines, and their colours. bound: the largest, of the tolerance; detects: the smallest difference of probabilities that
    would have been seen; rounds: a path's. Of a test the gravest certificates are shown.
    """
    if not facts:
        return []
    rows: list[tuple[str, str, dict[str, bool]]] = []
    for nodeid, of_test in facts.items():
        gravest = sorted(of_test, key=lambda f: (f["held"], -(f["bound"] or 0.0)))
        for fact in gravest[:_SHOWN]:
            numbers, where = _numbers(fact), nodeid + (f" (call {fact['call']})" if fact["call"] > 1 else "")
            rows.append((_verdict(fact), f"{numbers}  {where}", {"green" if fact["held"] else "red": True}))
        if rest := gravest[_SHOWN:]:
            rows.append(("", f"{'':<51}  and {len(rest)} more of this test, {sum(f['held'] for f in rest)} of them as claimed", {}))
    width = max(len(verdict) for verdict, _, _ in rows)
    heads = f"{'verdict':<{width}}{'paths':>9}{'bound':>8}{'of':>8}{'detects':>9}{'seconds':>9}{'rounds':>8}  test"
    return [(heads, {}), *((f"{verdict:<{width}}{line}", colour) for verdict, line, colour in rows)]


def _verdict(fact: dict[str, Any]) -> str:
    if fact["expected"] == "exact":
        return str(fact["verdict"])
    return f"{fact['verdict']} as it must" if fact["held"] else f"{fact['verdict']}: MISSED"


def _numbers(fact: dict[str, Any]) -> str:
    def number(key: str, form: str) -> str:
        return "" if fact[key] is None else format(fact[key], form)

    return (
        f"{fact['paths']:>9,}{number('bound', '.3f'):>8}{fact['tolerance']:>8.3g}{number('detectable', '.3f'):>9}"
        f"{fact['seconds']:>9.2f}{number('rounds', '.1f'):>8}"
    )


def _statement(settings: Settings, tests: int, own: list[float]) -> list[str]:
    """What the session promises, in a sentence or two."""
    profile = settings.profile
    if profile == "quick":
        profile += f" (at most {settings.quick_paths:,} draws, at the tolerance that these can show)"
    said = f"alpha {settings.alpha:g} shared by {tests} test{'s' * (tests != 1)}, " if tests else ""
    lines = [f"exactness: {said}seed {settings.seed}, profile {profile}"]
    if own:
        total = sum(own) + (settings.alpha if tests else 0.0)
        lines.append(
            f"exactness: {len(own)} test{'s' * (len(own) != 1)} with an alpha of {'its' if len(own) == 1 else 'their'} own, "
            f"{sum(own):g} together; an exact sampler is refuted somewhere in this session with probability at most "
            f"{min(total, 1.0):.7g}"
        )
    return lines


def _is_exactness(item: pytest.Item) -> bool:
    return "certify" in getattr(item, "fixturenames", ()) or item.get_closest_marker("exactness") is not None


def _matches(pattern: str, nodeid: str) -> bool:
    return pattern in nodeid or fnmatchcase(nodeid, pattern)


def _marks(item: pytest.Item) -> dict[str, Any]:
    """The arguments of its markers, the closest last; a usage error for those that there are not."""
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
    """The value in its type, or a usage error. Text from an ini file may be empty: None."""
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


def _settings(config: pytest.Config) -> Settings:
    def value(name: str) -> Any:
        return _checked(
            f"exactness_{name}", name, config.getoption(f"--exactness-{name}", None) or config.getini(f"exactness_{name}")
        )

    def path(name: str) -> Path | None:
        given = config.getoption(name)
        return None if given is None else config.invocation_params.dir / given

    settings = Settings(
        alpha=value("alpha"),
        tolerance=value("tolerance"),
        max_paths=value("max_paths"),
        quick_paths=value("quick_paths"),
        profile=value("profile"),
        seed=value("seed"),
        tests=_checked("--exactness-tests", "tests", config.getoption("--exactness-tests")),
        json=path("--exactness-json"),
        html=path("--exactness-html"),
    )
    if "workerinput" not in vars(config) and (settings.json or settings.html):
        from exactness.pytest_plugin import check_places

        check_places(settings)
        # Workers are told where, whatever they run in.
        config.option.exactness_json = settings.json and str(settings.json)
    return settings
