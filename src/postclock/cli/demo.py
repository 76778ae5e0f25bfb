"""What ``make run`` adds: a trusted domain, a key kept in the data folder, and a first mail to paste."""

import os

from postclock.assembly import House
from postclock.core.account import ALL_SCOPES
from postclock.service.principal import hash_of

DOMAIN = "mail.example.com"
FILE = "demo.key"


async def prepare_demo(house: House, url: str) -> str:
    """Text for the terminal: the key, and a curl that schedules a mail ten seconds ahead."""
    tenant = await house.services.tenants.named("default")
    await house.services.domains.add(tenant.id, DOMAIN, trusted=True)
    path = house.settings.data / FILE
    secret = path.read_text("ascii").strip() if path.exists() else ""
    known = await house.store.accounts.find_key(hash_of(secret)) if secret else None
    if known is None or known[0].revoked_at is not None:
        made = await house.services.keys.make(
            tenant, name="demo", dialect="scaisend", environment="live", scopes=[str(s) for s in sorted(ALL_SCOPES)]
        )
        secret = made.secret
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret + "\n")
    return f"""
Your key (kept in {path}):

  {secret}

A first mail, due in ten seconds:

  curl -X POST {url}/v3/mail/send \\
    -H "Authorization: Bearer {secret}" \\
    -H "Content-Type: application/json" \\
    -d '{{"personalizations": [{{"to": [{{"email": "ada@example.com"}}]}}], "from": {{"email": "hello@{DOMAIN}"}},
         "subject": "On the second", "content": [{{"type": "text/plain", "value": "Hello, Ada."}}],
         "send_at": '$(($(date +%s) + 10))'}}'

Watch it arrive: {url}/inbox
"""
