"""Imports point one way: no cycle, and no arrow from a lower layer to a higher one."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]

# From the ground up. A module imports its own layer and those below; what is deferred into a function counts as well.
LAYERS = (
    ("errors", "arrays", "canonical", "monitor", "seeds", "strangers", "subject", "version"),
    ("laws",),
    ("evidence",),
    ("batteries",),
    ("plan", "readers", "saved", "certificate", "statement", "environment", "claim"),
    ("judging",),
    ("adapters", "catalogue", "controls", "strategies"),
    ("run",),
    ("show",),
    ("cli", "pytest_plugin", "__init__", "__main__"),
)
LEVEL = {f"exactness.{name}": level for level, names in enumerate(LAYERS) for name in names} | {"exactness": len(LAYERS)}


def modules() -> dict[str, Path]:
    found = {}
    for base, folder in (("exactness", ROOT), ("exactness_samplers", ROOT / "samplers")):
        for path in (folder / base).rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found["pytest_exactness"] = ROOT / "pytest_exactness.py"
    return found


def imports() -> dict[str, set[str]]:
    """From each module to the modules that it imports, wherever in the file."""
    known, found = modules(), {}
    for name, path in known.items():
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        targets = found[name] = set[str]()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                targets.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                module = ".".join([*base, *(node.module.split(".") if node.module else [])])
                for alias in node.names:
                    inner = f"{module}.{alias.name}"
                    targets.add(inner if inner in known else module)
        targets.intersection_update(known)
        targets.discard(name)
    return found


def level(module: str) -> int:
    return LEVEL[".".join(module.split(".")[:2])]


def test_every_part_of_the_package_has_a_layer():
    missing = {m for m in modules() if m.startswith("exactness.") and ".".join(m.split(".")[:2]) not in LEVEL}
    assert not missing


def test_no_arrow_runs_back():
    back = [
        f"{name} imports {target}"
        for name, targets in imports().items()
        if name.startswith("exactness.")
        for target in targets
        if target.startswith("exactness.") and level(target) > level(name)
    ]
    assert not back, back


def test_the_samplers_know_nothing_of_the_judge():
    bad = [(n, t) for n, targets in imports().items() if n.startswith("exactness_samplers") for t in targets]
    assert not [pair for pair in bad if pair[1].partition(".")[0] == "exactness"]


def test_there_is_no_cycle():
    graph = imports()
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            # A package imports its files to give them on; that files import each other is what matters.
            for target in graph[name]:
                walk(target, (*path, name))
            done.add(name)

    for name in graph:
        walk(name, ())


def test_only_the_command_line_exits():
    for name, path in modules().items():
        text = path.read_text()
        if name not in ("exactness.cli", "exactness.__main__"):
            assert "raise SystemExit" not in text, name
            assert "sys.exit(" not in text, name


def test_batteries_and_judges_decide_on_capabilities():
    """No ``isinstance`` on a law of ours outside of the families that are about that law alone."""
    import exactness.laws as laws

    kinds = {name: getattr(laws, name) for name in laws.__all__}
    concrete = {name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, laws.Law)} - {"Law"}
    own = {"batteries/couplings.py": {"GaussianCoupling"}, "batteries/windows.py": {"VerifiedWindow"}}
    found = []
    for path in (ROOT / "exactness").rglob("*.py"):
        place = path.relative_to(ROOT / "exactness").as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
                names = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
                names |= {n.attr for n in ast.walk(node.args[1]) if isinstance(n, ast.Attribute)}
                found += [(place, name) for name in names & concrete - own.get(place, set())]
    assert not found, found
