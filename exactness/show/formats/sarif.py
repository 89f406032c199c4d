"""SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format), which code hosts show next to the code.

Only certificates that did not pass are results. The standard has results of the kind "pass", but GitHub shows an alert for each
result and closes an alert that is no longer in the upload. A pass is therefore shown by the absence of a result. Each rule is a
demand on a certificate, and each result is a demand that failed; an inconclusive certificate gives a warning.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePath
from urllib.parse import quote

from ...certificate import Certificate
from ...run.jobs import certificate_path
from ...run.runner import exit_code
from ...run.sources import file_of
from ..text import one_line, plain
from .outcome import Kind, Outcome, outcome_of, repeat

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
RULES: dict[Kind, tuple[str, str]] = {
    "refuted": ("error", "The sampler must follow the law that it is claimed to follow."),
    "inconclusive": ("warning", "The evidence must be enough for the tolerance."),
    "invalid": ("error", "It must be possible to judge the output of the sampler."),
    "control missed": ("error", "A sampler that is known to be wrong must be refuted."),
}


def sarif(certificates: Sequence[Certificate]) -> str:
    """Write a log of one run, with one result per certificate that is not as claimed."""
    found = [(c, outcome_of(c)) for c in certificates]
    code = exit_code(certificates)
    run = {
        "tool": {
            "driver": {
                "name": "exactness",
                "version": plain(certificates[0].environment.exactness),
                "shortDescription": {"text": "Certifies that samplers are lossless."},
                "rules": [_rule(kind) for kind in RULES],
            }
        },
        "invocations": [{"executionSuccessful": code != 4, "exitCode": code}],
        "results": [_result(c, outcome) for c, outcome in found if not outcome.passed],
        "columnKind": "unicodeCodePoints",
        "properties": {"certificates": len(found), "passed": sum(outcome.passed for _, outcome in found)},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(kind: Kind) -> dict[str, object]:
    level, demand = RULES[kind]
    return {
        "id": _rule_id(kind),
        "name": "".join(word.capitalize() for word in kind.split()),
        "shortDescription": {"text": demand},
        "defaultConfiguration": {"level": level},
    }


def _rule_id(kind: Kind) -> str:
    return "exactness/" + kind.replace(" ", "-")


def _result(c: Certificate, outcome: Outcome) -> dict[str, object]:
    name, rule = plain(c.name), _rule_id(outcome.kind)
    return {
        "ruleId": rule,
        "ruleIndex": list(RULES).index(outcome.kind),
        "kind": "fail",
        "level": RULES[outcome.kind][0],
        "message": {"text": _plain(f"{c.name}: {outcome.kind}\n{outcome.why}")},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": _uri(c)}, "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": one_line(name), "kind": "function"}],
            }
        ],
        # The claim and the demand identify a result from one upload to the next; the numbers do not.
        "partialFingerprints": {"claim/v1": hashlib.sha256(f"{rule} {name}".encode()).hexdigest()},
        "properties": {
            "verdict": c.verdict.value,
            "draws": c.paths,
            "largestBound": c.largest_bound,
            "detectable": c.detectable,
            "repeat": repeat(c),
        },
    }


def _uri(c: Certificate) -> str:
    """The URI of the file with the claim or with the law of saved paths. Without such a file, it is that of the certificate."""
    claimed = None if c.source is None else file_of(plain(c.source))
    if claimed is None:
        return quote(certificate_path(Path(), plain(c.name)).name)
    file = PurePath(claimed)
    return file.as_uri() if file.is_absolute() else quote(file.as_posix())


def _plain(text: str) -> str:
    """Escape what a message would take for a placeholder or a link (sections 3.11.5 and 3.11.6 of the standard)."""
    return re.sub(r"\{(\d+)\}", r"{{\1}}", plain(text).replace("](", "] ("))
