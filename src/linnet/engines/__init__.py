"""Run a model. Nothing here changes one."""
