"""The pipeline over the stages, and the report it ends with."""
