"""What happens by itself: on the second, mail is claimed, prepared, departed, delivered and recorded."""
