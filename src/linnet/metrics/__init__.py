"""Numbers that judge a model, from texts and arrays alone. Knows no model and no task.

Only two of its files start processes: `sandbox` for programs under test, `user_metric` for a function of the user's.
"""
