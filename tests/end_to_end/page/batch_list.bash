curl "https://scaisend.scailabs.ai/v3/messages?batch_id=bat_01HXYZ&page_size=100" \
  -H "Authorization: Bearer $SCAISEND_API_KEY"
