"""LowSER: learning speech emotion with few labels.

The library under the course. Modules are listed in the order in which data flows, and a module
imports only from those above it: ``corpora``, ``manifest``, ``splits``, ``audio``, ``augment``,
``views``, ``sampling``, ``encoders``, ``losses``, ``methods``, ``training``, ``evaluation``,
``plots``, ``course``.
"""

__version__ = "0.1.0"
