curl https://api.sendara.dev/v1/send \
  -H "Authorization: Bearer sk_live_xxx" \
  -H "Content-Type: application/json" \
  -d '{
    "channel": "email",
    "idempotency_key": "welcome_9f21",
    "message_type": "transactional",
    "destination": { "email": "ada@example.com" },
    "metadata": { "from_email": "hello@mail.example.com" },
    "payload": { "subject": "See you Monday", "body_html": "<p>Reminder…</p>" },
    "scheduled_at": "2026-06-20T14:00:00Z"
  }'
