"""Other people's clients and tests against our server. Needs the package index: `python -m conformance`."""
