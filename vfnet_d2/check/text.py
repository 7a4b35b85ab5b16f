"""Findings as text and JSON: by kind, so that a thousand equal ones stay readable."""

import textwrap
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from vfnet_d2.data.formats.findings import CODES, Finding

_EXAMPLES = 3  # findings of a kind that are shown before the rest is only counted
_WIDTH = 100


def findings_text(findings: Sequence[Finding], *, examples: int = _EXAMPLES) -> str:
    """Findings by kind, errors first, with the first few examples and the remedy of each kind."""
    groups = _by_code(findings)
    blocks = []
    for code, group in groups.items():
        kind = CODES[code]
        times = f"{len(group):,} times" if len(group) > 1 else "once"
        lines = [f"{kind.severity} {code} ({times}): {kind.title}"]
        lines += [f"    {finding}" for finding in group[:examples]]
        if len(group) > examples:
            lines.append(f"    and {len(group) - examples:,} more")
        lines += textwrap.wrap(
            f"-> {kind.remedy}", _WIDTH, initial_indent="  ", subsequent_indent="     "
        )
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def findings_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Findings for machines: counts, kinds with their remedies, and every single one."""
    groups = _by_code(findings)
    severities = [finding.severity for finding in findings]
    return {
        "errors": severities.count("error"),
        "warnings": severities.count("warning"),
        "kinds": {
            code: {**CODES[code]._asdict(), "count": len(group)} for code, group in groups.items()
        },
        "findings": [
            {
                "severity": finding.severity,
                "code": finding.code,
                "file": finding.file,
                "where": finding.where,
                "cause": finding.cause,
            }
            for group in groups.values()
            for finding in group
        ],
    }


def verdict(findings: Sequence[Finding]) -> str:
    """One line: how many errors and warnings."""
    errors = sum(finding.severity == "error" for finding in findings)
    if not findings:
        return "No problems found."
    warnings = len(findings) - errors
    parts = [plural(n, noun) for n, noun in ((errors, "error"), (warnings, "warning")) if n]
    return " and ".join(parts) + ("" if errors else "; nothing that stops training") + "."


def plural(count: int, noun: str) -> str:
    """A count with its noun, whose plural is regular."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}" + ("" if count == 1 else ending)


def _by_code(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Groups of findings of one code: errors first, then in the order of CODES."""
    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.code].append(finding)
    order = sorted(CODES, key=lambda code: CODES[code].severity != "error")
    return {code: groups[code] for code in order if code in groups}
