"""Every endpoint against every scope: a key gets as far as its scopes reach, in both modes, and no further."""

import re

import pytest

from postclock.core.account import ALL_SCOPES, Scope
from postclock.core.message import Mode
from tests.support.slow_api import SlowApi


@pytest.mark.parametrize("environment", ["live", "test"])
async def test_a_scope_opens_its_endpoints_and_no_other(api: SlowApi, environment: Mode) -> None:
    """With one scope, every endpoint that names another is 403; with all the others together, it is 403 as well."""
    for scope in Scope:
        alone = await api.headers([scope], environment=environment)
        rest = await api.headers(ALL_SCOPES - {scope}, environment=environment)
        for endpoint in api.endpoints:
            if endpoint.answer is None or not endpoint.scopes:
                continue
            path = re.sub(r"\{[^}]*\}", "none", endpoint.path)
            answer = await api.client.request(endpoint.method, path, headers=alone)
            # A ScaiSend key reads messages beside what it was made for.
            opened = scope in endpoint.scopes or Scope.messages_read in endpoint.scopes
            assert (answer.status_code != 403) == opened, (endpoint.method, path, scope)
            if endpoint.scopes == (scope,) and scope is not Scope.messages_read:
                refused = await api.client.request(endpoint.method, path, headers=rest)
                assert refused.json() == {"detail": f"Missing required scope: {scope.value}"}


async def test_no_endpoint_is_open_to_strangers(api: SlowApi) -> None:
    """Without a credential every endpoint is 401, whatever else is wrong."""
    for endpoint in api.endpoints:
        path = re.sub(r"\{[^}]*\}", "none", endpoint.path)
        assert (await api.client.request(endpoint.method, path)).status_code == 401, path
