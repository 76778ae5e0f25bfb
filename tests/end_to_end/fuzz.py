"""Every operation of an OpenAPI document called again and again, by its own rules and against them.

The same calls each time; POSTCLOCK_FUZZ_EXAMPLES=n makes n others of each operation, for a long look.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

EXPLORED: Final = int(os.environ.get("POSTCLOCK_FUZZ_EXAMPLES", "0"))
EXAMPLES: Final = EXPLORED or 10
SECONDS: Final = 10.0
"""Nothing may take longer to answer."""


def every_operation(
    schema: Any, mode: GenerationMode, key: str, known: Mapping[str, str], fill: Callable[[Any], None]
) -> int:
    """How many there are. ``known``: ids of things that exist, by the path's parameter; ``fill`` makes a call's body one that is taken."""
    headers = {"Authorization": f"Bearer {key}"}
    seen: dict[str, set[int]] = {}
    # What takes things away comes last.
    operations = sorted((r.ok() for r in schema.get_all_operations()), key=lambda o: o.method == "delete")
    for operation in operations:

        @settings(
            max_examples=EXAMPLES, derandomize=not EXPLORED, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode), existing=st.booleans())
        def one(case: Any, existing: bool) -> None:
            if existing:
                for parameter in case.path_parameters or ():
                    case.path_parameters[parameter] = known.get(parameter, case.path_parameters[parameter])
                fill(case)
            response = case.call(headers=headers, timeout=SECONDS)
            seen.setdefault(case.operation.label, set()).add(response.status_code)
            assert response.headers.get("x-request-id")
            if response.status_code == 429:
                return
            checks: list[Any] = [not_a_server_error]
            if mode is GenerationMode.POSITIVE:
                checks += [response_schema_conformance, status_code_conformance]
            case.validate_response(response, checks=checks)

        try:
            one()
        except Exception as failure:
            raise AssertionError(f"{operation.label}: {failure}") from failure
    assert len(seen) == len(operations)
    return len(seen)
