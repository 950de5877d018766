"""The life cycle. A stage reads records from the store and writes one; it never imports another stage."""
