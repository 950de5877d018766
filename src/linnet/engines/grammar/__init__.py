"""From a JSON schema to a grammar that an engine enforces, and the limits of both."""
