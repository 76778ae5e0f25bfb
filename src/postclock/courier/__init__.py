"""The courier's floor: SMTP out, and the built-in server that catches everything."""
