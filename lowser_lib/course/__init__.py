"""The course around the library: profiles, data, sounds, exercises, runs and their records.

A notebook begins with::

    from lowser_lib.experiments import data, profiles
    from lowser_lib.course.display import listen
    from lowser_lib.experiments.records import record

    profile = profiles.get(PROFILE)
    speech = data.load(profile)

Nothing is imported here, so that ``lowser doctor`` runs where packages are missing.
"""
