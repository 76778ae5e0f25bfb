curl -X POST https://api.sendara.dev/v1/messages/msg_7a3f9c/cancel \
  -H "Authorization: Bearer sk_live_xxx"
