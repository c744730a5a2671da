"""medimg: classify medical images, from raw files to a report a reviewer accepts.

Decision support for research; not a medical device.
"""

__version__ = "0.1.0"
