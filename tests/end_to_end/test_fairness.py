"""Nobody waits behind somebody else's bulk."""

from tests.end_to_end.parts import Caller, Ground, each_to, until


def test_a_small_tenant_beside_a_large_one(shared: Ground) -> None:
    """Two thousand of one tenant drain; another's fifty, handed over later and just as bulky, do not wait for their end."""
    service = shared.service
    assert service.cli("tenants", "create", "small").returncode == 0
    assert service.cli("domains", "add", "small.example.com", "--tenant", "small", "--trust").returncode == 0
    small = Caller(service.url, service.key(tenant="small"))
    large = [f"large{i}@example.com" for i in range(2_000)]
    for half in (large[:1_000], large[1_000:]):
        shared.caller.send(each_to(half))
    few = [f"small{i}@example.com" for i in range(50)]
    small.send(each_to(few, from_={"email": "hi@small.example.com"}))
    shared.wait_for_all(few)
    until(lambda: len(shared.sink.mails) >= 2_050)
    order = [m.rcpts[0] for m in shared.sink.mails]
    behind = sum(a.startswith("large") for a in order[order.index(few[-1]) :])
    assert behind > 200, f"{behind} of the large tenant's mails came after the last of the small one's"
    assert sorted(order) == sorted([*large, *few])
    assert all(small.status(m["id"]) == "delivered" for m in small.all_messages()[:5])
    small.close()
