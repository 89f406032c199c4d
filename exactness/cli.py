"""The command line: ``exactness list | certify | controls | report | recheck``. Only this module exits.

Exit codes: 0 everything as claimed, 1 something refuted (or a control not refuted), 2 usage or bad input, 3 inconclusive,
4 invalid.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .catalogue import BACKENDS, Setting, entries, find
from .certificate import Certificate, Verdict
from .claim import Claim
from .controls.matrix import Record, is_matrix
from .errors import BadInput
from .judging.certify import certify as judge
from .plan import Plan
from .run.faults import BUDGET, PATIENCE
from .run.runner import Overrides, certificate_path, check_writable, count_with_controls, exit_code, reusable, run_catalogue
from .run.sources import is_file_claim, is_saved_source, load_claims, load_saved, saved_source
from .show.console import findings_table, law_table, matrix_table, print_certificate, print_score, summary_table
from .show.formats import FORMATS, files

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Certify that a fast sampler is lossless.", rich_markup_mode=None
)
# Longer runs are summed up law by law; the page lists everything.
_LISTED = 40
_FORMAT = typer.Option(
    "--format",
    help=f"Also write {', '.join(FORMATS)}: as sarif, or sarif=FILE; may be repeated.",
    metavar="FORMAT[=FILE]",
)
console = Console()
errors = Console(stderr=True)


def main() -> None:
    """The entry point: bad input becomes a sentence and exit code 2, never a traceback."""
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
            "exactness: this is a fault of the judge, nothing was decided; please report it with the lines above", style="red"
        )
        raise SystemExit(4) from None


@app.command("list")
def list_claims(
    patterns: Annotated[list[str] | None, typer.Argument(help="Names or shell patterns, as 'ring/*'; all if left out.")] = None,
) -> None:
    """The built-in claims: what each is, and whether it must be certified or refuted."""
    for entry in find(patterns or []):
        must = "refuted" if entry.kind == "control" else "certified"
        console.print(f"{entry.name:<58} must be {must}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def certify(
    claims: Annotated[
        list[str] | None, typer.Argument(help="Catalogue names, patterns, or file.py:claim; all of the catalogue if left out.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the certificates.")] = Path("certificates"),
    report: Annotated[Path | None, typer.Option(help="Also write the HTML page here.")] = None,
    formats: Annotated[list[str] | None, _FORMAT] = None,
    seed: Annotated[int, typer.Option(help="Root seed of everything random.", min=0)] = 0,
    alpha: Annotated[float | None, typer.Option(help="Error probability of refuting any exact sampler of this run.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Largest difference of probabilities to live with.")] = None,
    max_paths: Annotated[int | None, typer.Option(help="Most draws.")] = None,
    device: Annotated[str, typer.Option(help="Where the catalogue's samplers run: cpu, cuda, cuda:1.")] = "cpu",
    dtype: Annotated[str | None, typer.Option(help="float32 or float64; each law's own if left out.")] = None,
    backend: Annotated[str, typer.Option(help="Which of the catalogue's samplers: torch or jax.")] = "torch",
    jobs: Annotated[int | None, typer.Option(help="Worker processes; the number of cores if left out, 1 on a GPU.", min=1)] = None,
    saved: Annotated[Path | None, typer.Option("--paths", help="Saved paths to judge: a .npy, .npz or .safetensors file.")] = None,
    law: Annotated[str | None, typer.Option(help="The law of the saved paths: file.py:law.")] = None,
    entry: Annotated[str | None, typer.Option(help="Which array of the file of saved paths.")] = None,
    resume: Annotated[bool, typer.Option(help="Keep certificates of the folder that judging again would give.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the verdict line.")] = False,
) -> None:
    """Judge claims, write a certificate each, say how it went."""
    overrides = Overrides(alpha, tolerance, max_paths)
    overrides.apply(Plan())
    if dtype not in (None, "float32", "float64"):
        raise BadInput(f"--dtype must be float32 or float64, not {dtype!r}")
    if backend not in BACKENDS:
        raise BadInput(f"--backend must be {' or '.join(BACKENDS)}, not {backend!r}")
    if (saved is None) != (law is None) or (entry is not None and saved is None):
        raise BadInput("saved paths take --paths FILE and --law file.py:law, both (and --entry NAME, where a file has several)")
    names = claims or []
    from_files = [name for name in names if is_file_claim(name)]
    own = [(target, claim) for target in from_files for claim in load_claims(target)]
    if saved is not None and law is not None:
        source = saved_source(str(saved), law, entry)
        own.append((source, load_saved(source)))
    chosen = find([name for name in names if not is_file_claim(name)]) if len(from_files) < len(names) or not (names or own) else []
    paths = Counter(certificate_path(out, name) for name in [c.name for _, c in own] + [e.name for e in chosen])
    if twice := [path.stem for path, count in paths.items() if count > 1]:
        raise BadInput(f"two claims would be saved as {twice[0]!r}: each needs a name of its own")
    check_writable(out, report)
    outputs = files.targets(formats or [], [out], report)
    # One run is one family: alpha is that of refuting any of its exact samplers.
    family = sum(e.kind != "control" for e in chosen) + sum(c.wrong is None for _, c in own)
    overrides = msgspec.structs.replace(overrides, claims=max(1, family))
    console.print(f"seed {seed}, certificates in {out}", highlight=False)
    done: list[Certificate] = []
    total = count_with_controls(chosen) + len(own)
    workers = jobs or (1 if device.startswith("cuda") else min(os.cpu_count() or 1, max(1, len(chosen))))
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet, transient=True) as progress:
        bar = progress.add_task("judging", total=total)

        def note(certificate: Certificate) -> None:
            done.append(certificate)
            progress.update(bar, advance=1, description=certificate.name)
            if not certificate.as_claimed:
                print_certificate(progress.console, certificate)

        try:
            for target, claim in own:
                kept = None
                if resume:
                    kept = reusable(certificate_path(out, claim.name), claim, overrides.apply(claim.plan or Plan()), seed, None)
                note(kept or _judge_own(target, claim, out, seed, overrides, progress))
            if chosen:
                run_catalogue(
                    chosen, folder=out, setting=Setting(device, dtype, backend), seed=seed, overrides=overrides,  # type: ignore[arg-type]
                    jobs=workers, resume=resume, done=note,
                )  # fmt: skip
        except KeyboardInterrupt:
            progress.stop()
            errors.print(f"stopped after {len(done)} of {total}; they are in {out}: go on with --resume", highlight=False)
            raise SystemExit(130) from None
    order = {entry.name: i for i, entry in enumerate(entries())}
    done.sort(key=lambda c: order.get(c.name, -1))
    _say(done, quiet)
    if report is not None:
        from .show.report import write_report

        write_report(done, report)
        console.print(f"report: {report}", highlight=False)
    _write(outputs, done)
    raise SystemExit(exit_code(done))


@app.command()
def controls(
    names: Annotated[list[str] | None, typer.Argument(help="Wrong samplers by name; all if left out.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the records and controls.json.")] = Path("controls"),
    report: Annotated[Path | None, typer.Option(help="Also write the HTML page here.")] = None,
    seed: Annotated[int, typer.Option(help="Root seed of everything random.", min=0)] = 0,
    alpha: Annotated[float | None, typer.Option(help="Error probability of refuting an exact sampler.")] = None,
    max_paths: Annotated[int | None, typer.Option(help="Most draws of each.")] = None,
    patience: Annotated[
        int, typer.Option(help="Look on for so many times the draws that refuted it, for tests that need more alone.", min=1)
    ] = PATIENCE,
    device: Annotated[str, typer.Option(help="Where the samplers run: cpu, cuda, cuda:1.")] = "cpu",
    dtype: Annotated[str | None, typer.Option(help="float32 or float64.")] = None,
    backend: Annotated[str, typer.Option(help="Whose samplers: torch or jax.")] = "torch",
    jobs: Annotated[int | None, typer.Option(help="Worker processes; the number of cores if left out, 1 on a GPU.", min=1)] = None,
    resume: Annotated[bool, typer.Option(help="Keep records of the folder that judging again would give.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the score.")] = False,
) -> None:
    """Would it notice? Judge wrong samplers, and right ones that look wrong, test by test. Exit code 1 if one is misjudged."""
    from .controls import run_faults
    from .controls.judge import chosen

    plan = Overrides(alpha, None, max_paths).apply(BUDGET)
    if dtype not in (None, "float32", "float64"):
        raise BadInput(f"--dtype must be float32 or float64, not {dtype!r}")
    if backend not in BACKENDS:
        raise BadInput(f"--backend must be {' or '.join(BACKENDS)}, not {backend!r}")
    total = len(chosen(names or []))
    check_writable(out, report)
    console.print(f"seed {seed}, records in {out}", highlight=False)
    finished = 0
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet, transient=True) as progress:
        bar = progress.add_task("judging", total=total)

        def note(record: Record) -> None:
            nonlocal finished
            finished += 1
            progress.update(bar, advance=1, description=record.name)

        workers = jobs or (1 if device.startswith("cuda") else min(os.cpu_count() or 1, total))
        try:
            matrix = run_faults(
                names or (), plan=plan, seed=seed, setting=Setting(device, dtype, backend), patience=patience,  # type: ignore[arg-type]
                jobs=workers, folder=out, resume=resume, done=note,
            )  # fmt: skip
        except KeyboardInterrupt:
            progress.stop()
            errors.print(f"stopped after {finished} of {total}; they are in {out}: go on with --resume", highlight=False)
            raise SystemExit(130) from None
    matrix.save(out / "controls.json")
    if not quiet:
        console.print(matrix_table(matrix))
    print_score(console, matrix)
    if report is not None:
        from .show.report import write_report

        write_report([], report, matrix)
        console.print(f"report: {report}", highlight=False)
    raise SystemExit(0 if matrix.holds else 1)


@app.command("report")
def make_report(
    sources: Annotated[list[Path], typer.Argument(help="Certificates, folders of them, or a matrix of controls.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page to write; report.html if neither it nor a format is given.")
    ] = None,
    formats: Annotated[list[str] | None, _FORMAT] = None,
) -> None:
    """One self-contained HTML page from certificates and from a matrix of controls, or what other programs read."""
    from .controls import Matrix

    outputs = files.targets(formats or [], sources, output)
    of_controls = [path for path in sources if is_matrix(path)]
    matrices = [Matrix.load(path) for path in of_controls]
    if len(matrices) > 1:
        raise BadInput("a page shows one matrix of controls")
    found = [Certificate.load(path) for path in _files([path for path in sources if path not in of_controls])]
    if output is not None or not outputs:
        from .show.report import write_report

        page = output or Path("report.html")
        write_report(found, page, *matrices)
        console.print(f"report on {len(found)} certificates: {page}", highlight=False)
    _write(outputs, found)


@app.command()
def recheck(
    sources: Annotated[list[Path], typer.Argument(help="Certificates, or folders of them.")],
    run: Annotated[bool, typer.Option(help="Also run the claim again, where its source is recorded.")] = True,
) -> None:
    """Does the verdict follow from the findings, and does the claim repeat? Exit code 1 if not."""
    from .run.recheck import check_arithmetic, repeat

    wrong = 0
    for path in _files(sources):
        certificate = Certificate.load(path)
        faults, how = check_arithmetic(certificate), "its verdict follows from its findings"
        if run and certificate.source is not None:
            try:
                again = repeat(certificate, *_claims_of(certificate))
                faults, how = faults + again.faults, f"{how}, {again.how}"
            except BadInput as error:
                faults = [*faults, f"it cannot be run again from here: {error} (--no-run checks its arithmetic alone)"]
        wrong += bool(faults)
        console.print(
            f"{path}: {'; '.join(faults) if faults else how}",
            style="red" if faults else None,
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    raise SystemExit(1 if wrong else 0)


def _write(outputs: dict[Path, str], certificates: list[Certificate]) -> None:
    files.write(outputs, certificates)
    for path, name in outputs.items():
        console.print(f"{name}: {path}", highlight=False, markup=False, soft_wrap=True)


def _judge_own(target: str, claim: Claim, out: Path, seed: int, overrides: Overrides, progress: Progress) -> Certificate:
    """A user's claim, here in this process, with a bar of its own."""
    bar = progress.add_task(claim.name, total=None)

    def step(name: str, paths: int, most: int) -> None:
        progress.update(bar, description=f"  {name}", completed=paths, total=most)

    file, _, attribute = target.partition(":")
    source = target if is_saved_source(target) else f"{file}:{attribute or 'claim'}"
    certificate = judge(
        claim.sample, claim.law, plan=overrides.apply(claim.plan or Plan()), seed=seed, name=claim.name, batteries=claim.batteries,
        controls=claim.controls, wrong=claim.wrong, about=claim.about, source=source, progress=step,
    )  # fmt: skip
    progress.remove_task(bar)
    certificate.save(certificate_path(out, claim.name))
    return certificate


def _claims_of(certificate: Certificate) -> tuple[list[Claim], list[str] | None]:
    """The claims of its source, and the controls that a certificate of the catalogue must carry."""
    assert certificate.source is not None
    if is_saved_source(certificate.source):
        return [load_saved(certificate.source)], None
    if is_file_claim(certificate.source):
        return load_claims(certificate.source), None
    (entry,) = find([certificate.source])
    where, backend = certificate.environment, str(certificate.sampler.get("backend", "torch"))
    setting = Setting(where.device.split()[0], where.dtype, backend)  # type: ignore[arg-type]
    controls = [e.name for e in entries() if e.kind == "control" and e.problem == entry.problem and entry.kind != "control"]
    return [entry.build(setting)], controls


def _files(sources: list[Path]) -> list[Path]:
    found = []
    for source in sources:
        if source.is_dir():
            inside = sorted(source.glob("*.json"))
            if not inside:
                raise BadInput(f"there is no certificate in {source}")
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
