"""Specialists over HTTP: one language inside, dialects at the rim. Never imports the command line."""
