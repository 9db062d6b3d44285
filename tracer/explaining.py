"""What a compiled function tells about itself: its signatures, and for each of their plans what it holds for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from tracer.pipeline import Plan
from tracer.tracing.questions import Question
from tracer.types import type_of

_MOST_NAMES = 8
"""Names of guarded places that are listed; of more only the number is told."""


def explanation(name: str, counts: Any, plans: Mapping[Any, Sequence[Plan]], calls: Mapping[Plan, int]) -> str:
    """The text of `f.explain()`.

    Parameters
    ----------
    name : str
        The function's.
    counts : CacheInfo
    plans : mapping
        Plans by signature.
    calls : mapping
        Calls that went by the native path.
    """
    total = _count(counts.plans, "plan"), _count(len(plans), "signature")
    lines = [f"{name}: {total[0]} for {total[1]}, {_count(counts.calls, 'call')}, {_count(counts.traces, 'trace')}"]
    for number, group in enumerate(plans.values(), 1):
        lines.append(f"signature {number}: {_arguments(group[0])}")
        for place, plan in enumerate(group, 1):
            lines.append(f"  plan {place}, {_count(plan.calls + calls.get(plan, 0), 'call')}")
            lines += (f"    {line}" for line in _plan(plan))
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _arguments(plan: Plan) -> str:
    nodes = plan.traced.graph.inputs[: plan.traced.argument_count]
    return ", ".join(f"{node.name or 'argument'} {node.type}" for node in nodes) or "no arrays"


def _plan(plan: Plan) -> Iterator[str]:
    traced = plan.traced
    for (kind, text, answer, line), group in groupby(traced.questions, _told):
        times = len(list(group))
        often = f", {times} times" if times > 1 else ""
        yield f"{kind} {text or 'without source'} is {answer}{often} ({line})"
    if traced.captured:
        yield "captures " + ", ".join(str(type_of(array)) for array in traced.captured)
    if traced.shared:
        yield "reads shared " + ", ".join(item.label for item in traced.shared)
    if traced.updated:
        yield "updates shared " + ", ".join(item.label for item in traced.updated)
    guarded = list(dict.fromkeys(guard.label for guard in traced.guards))
    if guarded:
        more = f" and {len(guarded) - _MOST_NAMES} more" if len(guarded) > _MOST_NAMES else ""
        yield f"guards {', '.join(guarded[:_MOST_NAMES])}{more}"
    if traced.written:
        yield "writes to " + ", ".join(str(traced.graph.inputs[place].name) for place in traced.written)
    program = getattr(plan.executable, "program", None)
    yield "runs op by op" if program is None else f"program of {_count(len(program.instructions), 'instruction')}"


def _told(question: Question) -> tuple[Any, ...]:
    return question.kind, question.text, question.answer.tolist(), question.line
