"""Tools and how people ask for them.

A block opens with `name(argument:kind, ...) description`; below it stand phrasings, imperative unless marked `~`.
An argument that some phrasing leaves out is optional.
"""
