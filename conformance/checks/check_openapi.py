"""schemathesis: requests made from our OpenAPI document, right ones and wrong ones."""

from __future__ import annotations

import os

import schemathesis
from hypothesis import HealthCheck, Phase, settings

SCHEMA = schemathesis.openapi.from_url(os.environ["BASE_URL"] + "/openapi.json")
# Which models there are, and which values go together, no schema says: valid-looking bodies may be refused, so that
# positive_data_acceptance is not among these. Nor is unsupported_method: a POST without JSON is refused with 415 before
# its address is looked at.
NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
CHECKS = [schemathesis.checks.CHECKS.get_one(name) for name in NAMES]


@SCHEMA.parametrize()
@settings(
    max_examples=int(os.environ.get("EXAMPLES", "20")),
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_route(case):
    case.call_and_validate(checks=CHECKS)
