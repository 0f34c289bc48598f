"""The methods of the course, one file each: settings, what a batch teaches, one call to train.

Every call that trains takes an encoder to start from, which stays as it is; clips to learn from;
``validation`` clips of *other speakers*, by which the epoch is chosen with ``metric``; settings,
where None takes the defaults; a ``generator`` that draws weights, batches and the run's seed;
``n_classes`` emotions; and ``execution``: where it runs and what is kept. It raises a
``TrainingError`` where no clip has a label or training diverges, and a ``CheckpointError`` as
:func:`lowser_lib.training.fit` does. Whoever predicts hands over a ``fabric``, whose precision is
applied; None takes that of the weights.
"""
