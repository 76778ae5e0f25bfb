"""``postclock torture``: the real service, hurt on purpose, and audited from what it acknowledged and what arrived.

It stands between the commands and the composition: it starts ``postclock serve`` in processes of its own and knows the service
by its HTTP answers, its SMTP conversations and its exit statuses alone.
"""
