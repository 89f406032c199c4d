"""The command line: ``exactness list | certify | controls | watch | report | recheck | verify``. Only this module ends the process.

Users' files run in worker processes and never in this one, so they cannot end or block it. ``EXIT_CODES`` lists the exit codes.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from .catalogue import BACKENDS, Setting, entries, find, tour
from .certificate import Certificate, Edited, Verdict
from .controls.matrix import Record, is_matrix
from .errors import BadInput
from .monitor import Monitor
from .plan import Plan
from .readers import FORMATS as FORMATS_OF_DRAWS
from .run.executors import TIMEOUT, Executor, Lost, Workers
from .run.faults import BUDGET, PATIENCE
from .run.jobs import Overrides, refuse_shared_files
from .run.recheck import Recheck, RecheckJob
from .run.recheck import recheck as check_again
from .run.runner import absent, check_writable, exit_code, found_items, run_claims, with_controls
from .run.sources import Item, item_of, saved_source
from .show.console import findings_table, law_table, matrix_table, print_certificate, print_score, summary_table
from .show.formats import FORMATS, files
from .show.report import require_report_extra, write_report
from .show.text import PlainConsole
from .show.watch_page import watch_page

EXIT_CODES = """
Exit codes: 0: everything is as claimed. 1: a sampler was refuted. 2: wrong usage or bad input. 3: something was inconclusive.
4: something was invalid, or its certificate is missing. 5: a control was missed, so a pass next to it means little.
130: the run was stopped.
"""

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Certify that a fast sampler is lossless.", epilog=EXIT_CODES,
    rich_markup_mode=None,
)  # fmt: skip
# A longer run is summarised law by law. The page lists everything.
_LISTED = 40
_FORMAT = typer.Option(
    "--format",
    help=f"Also write {', '.join(FORMATS)}, for example --format sarif or --format sarif=FILE. May be given several times.",
    metavar="FORMAT[=FILE]",
)


class _Terminal(PlainConsole):
    """A terminal. Where nobody reads on, as in ``exactness list | head``, the rest is not printed, and nothing else changes."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def width_of(terminal: bool, environment: Mapping[str, str]) -> int | None:
    """The width of the output, or None if the terminal or its user says it.

    A log has no width. At 80 columns, the names of tests would be broken into pieces of seven letters.
    """
    return None if terminal or "COLUMNS" in environment else 132


console = _Terminal(width=width_of(sys.stdout.isatty(), os.environ))
errors = _Terminal(stderr=True)


def main() -> None:
    """The entry point. Bad input gives a message and exit code 2, never a traceback."""
    try:
        app()
    except BadInput as error:
        errors.print(f"exactness: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, SystemExit):
        raise
    except OSError as error:
        errors.print(f"exactness: {error.filename or 'a file'}: {error.strerror}", style="red", highlight=False, markup=False)
        raise SystemExit(2) from None
    except Exception:  # Python's own exit code for a crash is 1, which here means "refuted".
        errors.print_exception()
        errors.print(
            "exactness: this is a bug in exactness, and nothing was decided; please report it with the lines above", style="red"
        )
        raise SystemExit(4) from None


@app.command("list")
def list_claims(
    patterns: Annotated[list[str] | None, typer.Argument(help="Names or shell patterns, such as 'ring/*'. Default: all.")] = None,
) -> None:
    """List the built-in claims, and whether each must be certified or refuted."""
    for entry in find(patterns or []):
        must = "refuted" if entry.kind == "control" else "certified"
        console.print(f"{entry.name:<58} must be {must}", highlight=False, markup=False, soft_wrap=True)


_SEED = Annotated[int, typer.Option(help="The seed of all randomness.", min=0)]
_DEVICE = Annotated[str, typer.Option(help="The device of the catalogue's samplers: cpu, cuda or cuda:1, for example.")]
_DTYPE = Annotated[str | None, typer.Option(help="float32 or float64. Default: the dtype of each law.")]
_BACKEND = Annotated[str, typer.Option(help="The library of the catalogue's samplers: torch or jax.")]
_JOBS = Annotated[int | None, typer.Option(help="Number of worker processes. Default: one per core, or 1 on a GPU.", min=1)]
_TIMEOUT = Annotated[
    float,
    typer.Option(
        help="Stop a claim that makes no progress for this many seconds, and continue with the others. 0 means never.", min=0
    ),
]
_REPORT = Annotated[Path | None, typer.Option(help="Also write an HTML page to this file.")]
_ASK = (
    "say what to certify, for example: exactness certify 'ring/*', or exactness certify file.py:claim; "
    "--tour certifies a selection of about fifty claims, --all certifies the whole catalogue ({count} claims)"
)


@app.command(epilog=EXIT_CODES)
def certify(
    claims: Annotated[list[str] | None, typer.Argument(help="Names or patterns of the catalogue, or file.py:claim.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Judge the whole catalogue.")] = False,
    short: Annotated[bool, typer.Option("--tour", help="Judge a selection of about fifty claims from all laws.")] = False,
    out: Annotated[Path, typer.Option(help="The folder for the certificates.")] = Path("certificates"),
    report: _REPORT = None,
    formats: Annotated[list[str] | None, _FORMAT] = None,
    seed: _SEED = 0,
    alpha: Annotated[float | None, typer.Option(help="Probability of refuting any exact sampler of this run.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Largest difference of probabilities that you accept.")] = None,
    max_paths: Annotated[int | None, typer.Option(help="Largest number of draws per claim.")] = None,
    profile: Annotated[
        str,
        typer.Option(help="full, or quick, which uses few draws and the tolerance that these can show. Controls keep their draws."),
    ] = "full",
    device: _DEVICE = "cpu",
    dtype: _DTYPE = None,
    backend: _BACKEND = "torch",
    jobs: _JOBS = None,
    timeout: _TIMEOUT = TIMEOUT,
    shards: Annotated[int, typer.Option(help="Split each certificate into this many jobs. The result is the same.", min=1)] = 1,
    saved: Annotated[
        list[str] | None,
        typer.Option(
            "--paths",
            help=f"Judge the saved draws in this file ({', '.join(FORMATS_OF_DRAWS)}) or folder of them. Several are one sample.",
        ),
    ] = None,
    law: Annotated[str | None, typer.Option(help="The law of the saved draws, as file.py:law.")] = None,
    entry: Annotated[str | None, typer.Option(help="The array to judge, if the file of saved draws has several.")] = None,
    chains: Annotated[bool, typer.Option("--chains", help="The saved arrays have the axes (chain, draw, ...).")] = False,
    resume: Annotated[bool, typer.Option(help="Keep the certificates that judging again would give.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the summary.")] = False,
) -> None:
    """Judge claims, write a certificate for each, and print a summary."""
    if profile not in ("full", "quick"):
        raise BadInput(f"--profile must be full or quick, not {profile!r}")
    if profile == "quick" and tolerance is not None:
        raise BadInput("--profile quick chooses the tolerance that few draws can show: leave --tolerance out, or use --max-paths")
    if everything and short:
        raise BadInput("--all includes what --tour takes: use one of them")
    overrides = Overrides(alpha, tolerance, max_paths, quick=profile == "quick")
    overrides.apply(Plan())
    setting = _setting(device, dtype, backend)
    if bool(saved) != (law is not None) or ((entry is not None or chains) and not saved):
        raise BadInput("saved draws need both --paths FILE and --law file.py:law, and --entry NAME if the file has several arrays")
    names = [*(claims or []), *([saved_source(saved, law, entry, chains)] if saved and law is not None else [])]
    _check_writable(out, report)
    folder = out.resolve()
    outputs = files.targets(formats or [], [out], report)
    done: list[Certificate] = []
    with Workers(_count(jobs, device), timeout or None) as workers:
        try:
            items = _chosen(names, everything, short, workers)
            refuse_shared_files([item.name for item in items])
            # One run is one family: alpha is the probability of refuting any of its exact samplers.
            overrides = msgspec.structs.replace(overrides, claims=max(1, sum(not item.wrong for item in items)))
            console.print(f"The seed is {seed}. Certificates are written to {out}.", highlight=False)
            total = len(with_controls(items))
            workers.count = min(workers.count, total * shards)
            with _Bars(total, quiet) as bars:

                def note(certificate: Certificate) -> None:
                    done.append(certificate)
                    bars.finished(certificate.name)
                    if not certificate.as_claimed:
                        print_certificate(bars.console, certificate)

                workers.progress = bars.step
                found = run_claims(
                    items, folder=folder, workers=workers, setting=setting, seed=seed, overrides=overrides, resume=resume,
                    shards=shards, done=note,
                )  # fmt: skip
        except KeyboardInterrupt:
            _stopped(len(done), out)
    order = {entry.name: i for i, entry in enumerate(entries())}
    # In the order of the catalogue, a user's own claims first, whichever was finished first.
    found.sort(key=lambda c: order.get(c.name, -1))
    _say(found, quiet)
    if report is not None:
        write_report(found, report)
        console.print(f"report: {report}", highlight=False)
    _write(outputs, found)
    if short:
        console.print(
            f"This run judged {total} of {len(entries())} claims. `exactness certify --all` judges all of them.", highlight=False
        )
    if lacking := absent(found, folder):
        errors.print(
            f"exactness: {out} no longer holds the certificates that this run wrote of {', '.join(lacking[:3])}: another program, "
            "or a second run into the same folder, has changed them; certify again into a folder of its own",
            style="red", highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
        raise SystemExit(4)
    raise SystemExit(exit_code(found))


@app.command()
def controls(
    names: Annotated[list[str] | None, typer.Argument(help="Names of faults. Default: all.")] = None,
    out: Annotated[Path, typer.Option(help="The folder for the records and controls.json.")] = Path("controls"),
    report: _REPORT = None,
    seed: _SEED = 0,
    alpha: Annotated[float | None, typer.Option(help="Probability of refuting an exact sampler.")] = None,
    max_paths: Annotated[int | None, typer.Option(help="Largest number of draws per fault.")] = None,
    patience: Annotated[
        int,
        typer.Option(help="Draw up to this many times the draws that refuted a fault, because a test alone may need more.", min=1),
    ] = PATIENCE,
    device: _DEVICE = "cpu",
    dtype: _DTYPE = None,
    backend: _BACKEND = "torch",
    jobs: _JOBS = None,
    timeout: _TIMEOUT = TIMEOUT,
    resume: Annotated[bool, typer.Option(help="Keep the records that judging again would give.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the score.")] = False,
) -> None:
    """Judge broken samplers, and right ones that look broken, test by test. The exit code is 0, 1 if a right one is
    refuted, and 5 if a broken one is not."""
    from .controls.judge import chosen
    from .run.faults import run_faults

    plan = Overrides(alpha, None, max_paths).apply(BUDGET)
    setting = _setting(device, dtype, backend)
    total = len(chosen(names or []))
    _check_writable(out, report)
    console.print(f"The seed is {seed}. Records are written to {out}.", highlight=False)
    finished = 0
    with _Bars(total, quiet) as bars, Workers(min(_count(jobs, device), total), timeout or None) as workers:

        def note(record: Record) -> None:
            nonlocal finished
            finished += 1
            bars.finished(record.name)

        try:
            matrix = run_faults(
                names or (), plan=plan, seed=seed, setting=setting, patience=patience, workers=workers, folder=out, resume=resume,
                done=note,
            )  # fmt: skip
        except KeyboardInterrupt:
            bars.stop()
            _stopped(finished, out)
    matrix.save(out / "controls.json")
    if not quiet:
        console.print(matrix_table(matrix))
    print_score(console, matrix)
    if report is not None:
        write_report([], report, matrix)
        console.print(f"report: {report}", highlight=False)
    missed = any(not record.as_it_should for record in matrix.wrong)
    raise SystemExit(0 if matrix.holds else 5 if missed else 1)


@app.command()
def watch(
    source: Annotated[str, typer.Argument(metavar="FILE", help="Records of emitted tokens, one JSON object a line. - is stdin.")],
    alpha: Annotated[float | None, typer.Option(help="Probability of a false alarm, ever. Default: 1e-6.")] = None,
    slack: Annotated[float | None, typer.Option(help="Relative error of the probabilities. Default: 1e-5.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="The file that keeps what was seen, so that a restart goes on from there.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more lines, until Ctrl-C or the alarm.")] = False,
    metrics: Annotated[Path | None, typer.Option(help="Keep this file up to date in Prometheus's text format.")] = None,
    report: Annotated[Path | None, typer.Option(help="Keep this HTML page up to date.")] = None,
) -> None:
    """Watch an engine's tokens, and raise an alarm when they depart from the target.

    A record has log_p, the target's log-probability of the token, and may have log_q, the draft's, supported and overlap. The exit
    code is 1 if the alarm is raised, 0 if not, and 2 for bad input.
    """
    from .run.watch import Watch

    def say(text: str) -> None:
        errors.print(text, highlight=False, markup=False, soft_wrap=True)

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # A second one does not stop the saving.
        raise KeyboardInterrupt

    # A service manager stops its services with SIGTERM. The state is then saved as after Ctrl-C.
    signal.signal(signal.SIGTERM, stop)
    kept: dict[Path, Callable[[Monitor], str]] = {metrics: Monitor.metrics} if metrics is not None else {}
    if report is not None:
        kept[report] = lambda monitor: watch_page(monitor, source)
    watched = Watch(source, alpha=alpha, slack=slack, state=state, files=kept, follow=follow, say=say).run()
    if watched.alarm is not None:
        console.print(f"ALARM at token {watched.alarm:,}: {watched.reason}", style="red", highlight=False, markup=False)
        raise SystemExit(1)
    console.print(
        f"no alarm in {watched.tokens:,} tokens; the wealth of the bets is {math.exp(watched.log_wealth):.3g}, and the alarm is "
        f"raised at {1.0 / watched.alpha:.3g}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip


@app.command("report")
def make_report(
    sources: Annotated[list[Path], typer.Argument(help="Certificates, folders of them, or a matrix of controls.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page to write. Default: report.html, unless a format is given.")
    ] = None,
    formats: Annotated[list[str] | None, _FORMAT] = None,
) -> None:
    """Make one self-contained HTML page from certificates and a matrix of controls, or write files for other programs.

    A file that cannot be read does not cost the page: the page is made of the others and names it, and the exit code is 2. Files
    for other programs are then not written, because these would take them for complete.
    """
    from .controls import Matrix

    outputs = files.targets(formats or [], sources, output)
    found: list[Certificate] = []
    matrices: list[Matrix] = []
    broken: list[tuple[str, str]] = []
    for path in _files(sources):
        try:
            if is_matrix(path):
                matrices.append(Matrix.load(path))
            else:
                found.append(Certificate.load(path))
        except BadInput as error:
            broken.append((path.name, str(error)))
    if len(matrices) > 1:
        raise BadInput(f"a page shows one matrix of controls, but {len(matrices)} were given: name one of them")
    unread = "; ".join(why for _, why in broken)
    if broken and not (found or matrices):
        raise BadInput(unread)
    if output is not None or not outputs:
        page = output or Path("report.html")
        write_report(found, page, matrices[0] if matrices else None, broken)
        console.print(f"report on {len(found)} certificates: {page}", highlight=False)
    if broken:
        raise BadInput(unread + ("; no other file was written" if outputs else ""))
    _write(outputs, found)


@app.command()
def recheck(
    sources: Annotated[list[Path], typer.Argument(help="Certificates, or folders of them.")],
    run: Annotated[
        bool,
        typer.Option("--run", help="Also run each claim again. This executes the Python files that the certificates name."),
    ] = False,
) -> None:
    """Check that verdicts follow from their findings, and with --run that claims repeat.

    Without --run nothing is executed and nothing is sampled. The exit code is 1 if something is wrong, 2 if a file cannot be
    read, and 3 if only the arithmetic was checked on a certificate whose claim cannot be found from here.
    """
    codes = {0}
    with Workers(1, TIMEOUT) as workers:
        for path in _files(sources):
            try:
                found = _rechecked(path, run, workers)
            except Edited as error:
                codes.add(1)
                console.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
                continue
            except BadInput as error:
                codes.add(2)
                errors.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
                continue
            said = "; ".join(found.faults) or found.how + (f" ({found.untraced})" if found.untraced else "")
            codes.add(1 if found.faults else 3 if found.untraced else 0)
            console.print(f"{path}: {said}", style="red" if found.faults else None, highlight=False, markup=False, soft_wrap=True)
    if not run:
        console.print("Nothing was sampled again: only the arithmetic was checked. --run samples again.", highlight=False)
    raise SystemExit(next(code for code in (1, 2, 3, 0) if code in codes))


@app.command()
def verify(
    sources: Annotated[list[Path], typer.Argument(help="Certificates, in-toto statements, signed envelopes, or folders of them.")],
) -> None:
    """Check that certificates are as they were written, and that they are about the files that lie here.

    Nothing is run. Signatures are not checked: cosign or gh check them. The exit code is 1 if something is wrong, and 2 if a file
    cannot be read.
    """
    from .run.verify import verified_files

    found, broken = verified_files(_files(sources))
    for file, one in found:
        style = "red" if one.faults else None
        console.print(f"{file}: {'; '.join(one.faults or one.said)}", style=style, highlight=False, markup=False, soft_wrap=True)
    for why in broken:
        errors.print(why, style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(1 if any(one.faults for _, one in found) else 2 if broken else 0)


def _rechecked(path: Path, run: bool, workers: Workers) -> Recheck:
    certificate = Certificate.load(path)  # Here, so that an edit is told from other bad input.
    if not run:
        return check_again(certificate)
    ((_, found),) = workers.run([RecheckJob(path=str(path))])
    return Recheck([found.why]) if isinstance(found, Lost) else found


def _setting(device: str, dtype: str | None, backend: str) -> Setting:
    if dtype not in (None, "float32", "float64"):
        raise BadInput(f"--dtype must be float32 or float64, not {dtype!r}")
    if backend not in BACKENDS:
        raise BadInput(f"--backend must be {' or '.join(BACKENDS)}, not {backend!r}")
    return Setting(device, dtype, backend)  # type: ignore[arg-type]


def _chosen(names: Sequence[str], everything: bool, short: bool, workers: Executor) -> list[Item]:
    """The claims that the user asked for, without duplicates. Raises ``BadInput`` if the user named none."""
    if not (names or everything or short):
        raise BadInput(_ASK.format(count=len(entries())))
    more = entries() if everything else tour() if short else ()
    return list(dict.fromkeys([*found_items(names, workers), *map(item_of, more)]))


def _count(jobs: int | None, device: str) -> int:
    return jobs or (1 if device.startswith("cuda") else os.cpu_count() or 1)


def _check_writable(out: Path, page: Path | None) -> None:
    check_writable(out, page)
    if page is not None:
        require_report_extra()


class _Bars:
    """A progress bar for the run, and one for each claim."""

    def __init__(self, total: int, quiet: bool) -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, disable=quiet, transient=True)
        self._whole = self._progress.add_task("judging", total=total)
        self._claims: dict[str, TaskID] = {}
        self.console = self._progress.console

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stop(self) -> None:
        self._progress.stop()

    def step(self, name: str, draws: int, most: int) -> None:
        if name not in self._claims:
            self._claims[name] = self._progress.add_task(f"  {name}", total=most)
        self._progress.update(self._claims[name], completed=draws, total=most)

    def finished(self, name: str) -> None:
        self._progress.update(self._whole, advance=1, description=name)
        if name in self._claims:
            self._progress.update(self._claims[name], visible=False)


def _stopped(finished: int, out: Path) -> NoReturn:
    errors.print(
        f"The run was stopped. {finished} results are finished and lie in {out}. To continue, add --resume to the same command.",
        highlight=False,
    )
    raise SystemExit(130)


def _write(outputs: dict[Path, str], certificates: list[Certificate]) -> None:
    files.write(outputs, certificates)
    for path, name in outputs.items():
        console.print(f"{name}: {path}", highlight=False, markup=False, soft_wrap=True)


def _files(sources: list[Path]) -> list[Path]:
    found = []
    for source in sources:
        if source.is_dir():
            inside = sorted(source.glob("*.json"))
            if not inside:
                raise BadInput(f"there is no certificate in {source}: name a folder with certificates, or a certificate")
            found += inside
        else:
            found.append(source)
    return found


def _say(done: list[Certificate], quiet: bool) -> None:
    if not quiet:
        console.print(summary_table(done) if len(done) <= _LISTED else law_table(done))
        if len(done) > _LISTED:
            console.print(summary_table([c for c in done if c.expected == "wrong"]))
        if len(done) == 1:
            if done[0].findings:
                console.print(findings_table(done[0]))
            if done[0].as_claimed:  # the others were printed when they were found
                print_certificate(console, done[0])
    exact = [c for c in done if c.expected == "exact"]
    controls = [c for c in done if c.expected == "wrong"]
    counts = {v: sum(c.verdict is v for c in exact) for v in Verdict}
    said = ", ".join(f"{n} {v.value}" for v, n in counts.items() if n) or "none"
    refuted = sum(c.verdict is Verdict.REFUTED for c in controls)
    spoken = f"{len(exact)} samplers: {said}." if exact else ""
    spoken += f" {len(controls)} controls: {refuted} refuted." if controls else ""
    console.print(spoken.strip(), highlight=False)


if __name__ == "__main__":
    main()
