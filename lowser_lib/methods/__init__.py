"""The methods of the course, one file each: settings, what a batch teaches, one call to train."""
